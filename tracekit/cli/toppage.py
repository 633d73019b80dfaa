"""`tracekit top --page`: what top shows, as a page on this machine, for whoever knows its token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tracekit.reporters.top import SORTS, View

_SCRIPT = """
const token = new URLSearchParams(location.search).get("token");
const [sort, only, threads, freeze] = ["sort", "only", "threads", "freeze"].map((id) => document.getElementById(id));
const screen = document.getElementById("screen");
async function show() {
  if (!freeze.checked) {
    const wanted = new URLSearchParams({ token, sort: sort.value, only: only.value });
    if (threads.checked) wanted.set("threads", "1");
    try {
      const answer = await fetch(`/data?${wanted}`);
      screen.textContent = (await answer.json()).text;
    } catch {
      screen.textContent += "\\n(the program or top has ended)";
      return;
    }
  }
  setTimeout(show, 1000);
}
show();
"""
_STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;margin:14px}pre{font:13px/1.35 monospace;overflow:auto}"
    "label{margin-right:14px}"
)
_PAGE = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>tracekit top</title><style>{_STYLE}</style>
<label>sort <select id="sort">{"".join(f"<option>{sort}</option>" for sort in SORTS)}</select></label>
<label>only <input id="only"></label><label><input type="checkbox" id="threads"> single threads</label>
<label><input type="checkbox" id="freeze"> freeze</label><pre id="screen" aria-live="off"></pre>
<script>{_SCRIPT}</script></html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(ThreadingHTTPServer):
    """Answers on this machine only, and only who has the token. It runs in a thread of its own; `shutdown` ends it.

    Attributes:
        url: of the page, with the token.
    """

    daemon_threads = True

    def __init__(self, show: Callable[[View], str]) -> None:
        """show: what is to be seen now, as text."""
        self.token = secrets.token_urlsafe(24)
        self.show = show
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/?token={self.token}"

    def knows(self, host: str, token: str) -> bool:
        """Whether a request is for this very server: a name that was made to lead here has another host."""
        return host in (f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}") and hmac.compare_digest(
            token.encode(), self.token.encode()
        )


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 10
    server_version, sys_version = "tracekit", ""

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        wanted = {name: values[-1] for name, values in parse_qs(asked.query).items()}
        if not self.server.knows(self.headers.get("Host", ""), wanted.get("token", "")):
            self._answer(403, "text/plain", "The token is not the one that tracekit top printed.\n")
        elif asked.path == "/":
            self._answer(200, "text/html", _PAGE)
        elif asked.path == "/data":
            sort = wanted.get("sort", SORTS[0])
            view = View(sort if sort in SORTS else SORTS[0], wanted.get("only", ""), bool(wanted.get("threads")))
            self._answer(200, "application/json", json.dumps({"text": self.server.show(view)}))
        else:
            self._answer(404, "text/plain", "There is nothing here.\n")

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body))),
            ("Content-Security-Policy", _POLICY), ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        """Nothing: the screen is not for that, and a line would have the token in it."""
