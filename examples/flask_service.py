"""A Flask service with its counters at /metrics, each request as a region, and a flight recorder.

    pip install 'tracekit[prometheus]' flask gunicorn
    gunicorn -k gthread --threads 8 -w 1 -b 127.0.0.1:8000 flask_service:app

examples/dashboards/flask.json is a dashboard for Grafana, over a Prometheus that scrapes /metrics.
"""

import hashlib
import json
import time

import prometheus_client
from flask import Flask

import tracekit

app = Flask(__name__)
app.wsgi_app = tracekit.WSGIMiddleware(app.wsgi_app, server_timing=True)  # type: ignore[method-assign]
prometheus_client.REGISTRY.register(tracekit.prometheus.Collector())
flight = tracekit.flight("slow-{n}.log", max_size="16M", hold_over="200ms", region_over="2s")


@app.get("/orders/<int:number>")
def order(number: int) -> str:
    """Waits for a database, then makes JSON: it holds the GIL for a moment only."""
    time.sleep(0.005)
    return json.dumps({"order": number, "lines": list(range(100))})


@app.get("/reports/<name>")
def report(name: str) -> str:
    """Computes in Python: all other requests wait for a switch interval each time they want to go on."""
    found = hashlib.sha256(name.encode()).hexdigest()
    for _ in range(20_000):
        found = hashlib.sha256(found.encode()).hexdigest()
    return found


@app.get("/metrics")
def metrics() -> bytes:
    return prometheus_client.generate_latest()
