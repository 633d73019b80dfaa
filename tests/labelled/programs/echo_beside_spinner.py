"""A thread that answers datagrams, beside one that only counts."""

import socket
import threading
import time


def spin():
    while True:
        pass


def serve(server):
    while True:
        data, sender = server.recvfrom(100)
        server.sendto(data, sender)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
for name, work, arguments in (("server", serve, (server,)), ("spinner", spin, ())):
    thread = threading.Thread(target=work, name=name, args=arguments)
    thread.daemon = True
    thread.start()
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.time() + 2
while time.time() < end:
    client.sendto(b"x", server.getsockname())
    client.recvfrom(100)
