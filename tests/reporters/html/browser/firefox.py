"""Firefox by WebDriver BiDi, over its own websocket: Debian has no geckodriver."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

PATIENCE = 60.0  # seconds for an answer


class Firefox:
    """A page in a running Firefox. `messages`: what its console said, and errors."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._sent = 0
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.command("session.new", capabilities={})
        self.command("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self._tab = self.command("browsingContext.create", type="tab")["context"]

    def command(self, method: str, **params: Any) -> Any:
        """The result of a command. What is told meanwhile is kept."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=PATIENCE))
            if answer.get("method") == "log.entryAdded":
                self.messages.append(answer["params"]["text"])
            elif answer.get("method") == "network.beforeRequestSent":
                self.requests.append(answer["params"]["request"]["url"])
            elif answer.get("id") == self._sent:
                if answer["type"] == "error":
                    raise AssertionError(f"{method}: {answer['message']}")
                return answer["result"]

    def open(self, url: str, width: int = 1280, height: int = 900) -> None:
        self.command("browsingContext.setViewport", context=self._tab, viewport={"width": width, "height": height})
        self.command("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def run(self, expression: str) -> Any:
        """The value of an expression, awaited and as JSON."""
        wrapped = f"(async () => JSON.stringify(await ({expression})))()"
        target = {"context": self._tab}
        answer = self.command("script.evaluate", expression=wrapped, target=target, awaitPromise=True)
        if answer["type"] == "exception":
            raise AssertionError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"].get("value", "null"))

    def act(self, source: str, kind: str, *actions: dict[str, Any]) -> None:
        """Keys or the pointer: `input.performActions` of one source."""
        given = {"type": kind, "id": source, "actions": list(actions)}
        if kind == "pointer":
            given["parameters"] = {"pointerType": "mouse"}
        self.command("input.performActions", context=self._tab, actions=[given])

    def press(self, key: str) -> None:
        self.act("keys", "key", {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key})

    def click(self, x: float, y: float) -> None:
        place = {"type": "pointerMove", "x": round(x), "y": round(y)}
        self.act("mouse", "pointer", place, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0})


@contextmanager
def started(executable: str) -> Iterator[Firefox]:
    with tempfile.TemporaryDirectory() as profile:
        command = [executable, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr
                lines = iter(process.stderr.readline, "")
                found = next(match for line in lines if (match := re.search(r"BiDi listening on (ws://\S+)", line)))
                with connect(f"{found[1]}/session", max_size=None, open_timeout=PATIENCE) as socket:
                    yield Firefox(socket)
            finally:
                process.terminate()
