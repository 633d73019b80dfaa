"""A server thread that answers a datagram now and then."""

import socket
import threading
import time


def serve(server):
    while True:
        data, sender = server.recvfrom(100)
        server.sendto(data, sender)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
thread = threading.Thread(target=serve, name="server", args=(server,))
thread.daemon = True
thread.start()
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(60):
    client.sendto(b"x", server.getsockname())
    client.recvfrom(100)
    time.sleep(0.03)
