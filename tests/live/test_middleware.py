"""Web services with real frameworks on real servers: each request is a region, named by its route."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.recorder.recorded import need_recorder

SPIN = """
import os, sys, time, tracekit
def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
"""
FLASK = """
from flask import Flask
app = Flask(__name__)
@app.get("/users/<int:number>")
def users(number):
    spin(0.005); time.sleep(0.01)
    return "a user"
@app.get("/fails")
def fails(): raise KeyError
app.wsgi_app = tracekit.WSGIMiddleware(app.wsgi_app, server_timing=True)
"""
DJANGO = """
import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
def users(request, number):
    spin(0.005); time.sleep(0.01)
    return HttpResponse("a user")
def fails(request): raise KeyError
urlpatterns = [path("users/<int:number>", users), path("fails", fails)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none", LOGGING_CONFIG=None)
django.setup()
from django.core.wsgi import get_wsgi_application
app = tracekit.WSGIMiddleware(get_wsgi_application(), server_timing=True)
"""
FASTAPI = """
import asyncio
from fastapi import FastAPI
app = FastAPI()
@app.get("/users/{number}")
async def users(number: int):
    spin(0.005); await asyncio.sleep(0.01)
    return "a user"
@app.get("/threads/{number}")
def threads(number: int):
    spin(0.005); time.sleep(0.01)
    return "a user"
@app.get("/fails")
def fails(): raise KeyError
app.add_middleware(tracekit.ASGIMiddleware, server_timing=True)
"""
TELL = """
import atexit, json
def tell():
    with open("regions.json", "w") as file: json.dump(tracekit.live.regions.sums(), file)
atexit.register(tell)
"""


@contextmanager
def serving(folder: Path, app: str, *command: str) -> Iterator[str]:
    need_recorder()
    (folder / "service.py").write_text(SPIN + app + TELL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *(word.format(port=port) for word in command)], cwd=folder, stdout=log, stderr=log
        )
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and server.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


def get(url: str) -> str:
    """The header that tells."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.headers["Server-Timing"])
    except urllib.error.HTTPError as error:
        return str(error.headers["Server-Timing"])


def held_ms(timing: str) -> float:
    held, waited = timing.split(", ")
    assert waited.startswith("gil-wait;dur=")
    return float(held.removeprefix("gil-held;dur="))


GUNICORN = ("gunicorn", "service:app", "-k", "gthread", "--threads", "4", "-b", "127.0.0.1:{port}")
UVICORN = ("uvicorn", "service:app", "--port", "{port}")


@pytest.mark.parametrize(
    ("framework", "app", "command", "route"),
    [
        ("flask", FLASK, GUNICORN, "/users/<int:number>"),
        ("django", DJANGO, GUNICORN, "/users/<int:number>"),
        ("fastapi", FASTAPI, UVICORN, "/users/{number}"),
    ],
)
def test_requests(tmp_path: Path, framework: str, app: str, command: tuple[str, ...], route: str) -> None:
    for needed in (framework, command[0]):
        pytest.importorskip(needed)
    with serving(tmp_path, app, *command) as url:
        for number in range(3):
            assert 5 <= held_ms(get(f"{url}/users/{number}")) < 5000
        assert "dur=" in get(f"{url}/nothing/here/{number}")
        get(f"{url}/fails")
        if framework == "fastapi":
            assert held_ms(get(f"{url}/threads/7")) >= 5
    told = {one["name"]: one for one in json.loads((tmp_path / "regions.json").read_text())}
    users = told[f"GET {route}"]
    assert users["regions"] == 3
    assert users["unknown"] == 0
    assert users["held_ns"] >= 3 * 5 * 10**6
    assert users["wall_ns"] >= 3 * 15 * 10**6
    assert users["longest_ns"] <= users["wall_ns"]
    assert told["GET (no route)"]["regions"] == 1
    assert told["GET /fails"]["regions"] == 1
    assert not any("nothing" in name for name in told)
    if framework == "fastapi":
        assert told["GET /threads/{number} in a thread"]["held_ns"] >= 5 * 10**6


def test_span_attributes_and_sampling(tmp_path: Path) -> None:
    need_recorder()
    pytest.importorskip("opentelemetry.sdk")
    (tmp_path / "program.py").write_text(
        SPIN
        + """
from opentelemetry.sdk.trace import TracerProvider
def app(environ, start_response):
    start_response("200 OK", [])
    spin(0.002)
    return [b"done"]
tracer = TracerProvider().get_tracer("test")
def ask(service):
    headers = []
    with tracer.start_as_current_span("request") as span:
        answer = service({"REQUEST_METHOD": "GET", "PATH_INFO": "/secret"}, lambda status, given: headers.extend(given))
        assert list(answer) == [b"done"]
        if hasattr(answer, "close"): answer.close()
    return dict(span.attributes), headers
attributes, headers = ask(tracekit.WSGIMiddleware(app, name=lambda environ: "GET by name"))
assert attributes["python.gil.held_time"] >= 0.002 and attributes["python.gil.wait_time"] >= 0
assert headers == []
(one,) = [one for one in tracekit.live.regions.sums() if one["regions"]]
assert one["name"] == "GET by name" and one["held_ns"] >= 2 * 10**6
half = tracekit.WSGIMiddleware(app, sample=0.5, server_timing=True)
told = sum(bool(ask(half)[1]) for _ in range(100))
assert 10 < told < 90, told
assert ask(tracekit.WSGIMiddleware(app, sample=0))[0] == {}
"""
    )
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True, timeout=120)


def test_methods_that_clients_make_up_are_one_name(tmp_path: Path) -> None:
    need_recorder()
    program = """
import json, tracekit
def app(environ, start):
    start("404 Not Found", [])
    return [b""]
service = tracekit.WSGIMiddleware(app)
for number in range(5000):
    service({"REQUEST_METHOD": f"GET{number}", "PATH_INFO": "/"}, lambda status, given: None).close()
with tracekit.region("mine"): pass
print(json.dumps({one["name"]: one["regions"] for one in tracekit.live.regions.sums() if one["regions"]}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == {"(other) (no route)": 5000, "mine": 1}
