"""A FastAPI service with its counters at /metrics, and each request as a region that follows its task.

    pip install 'tracekit[prometheus]' fastapi uvicorn uvloop
    uvicorn fastapi_service:app --port 8000

examples/dashboards/fastapi.json is a dashboard for Grafana, over a Prometheus that scrapes /metrics.
"""

import asyncio
import hashlib

import prometheus_client
from fastapi import FastAPI, Response

import tracekit

tracekit.count()  # before the loop runs
app = FastAPI()
app.add_middleware(tracekit.ASGIMiddleware, server_timing=True)
prometheus_client.REGISTRY.register(tracekit.prometheus.Collector())


@app.get("/orders/{number}")
async def order(number: int) -> dict[str, object]:
    """Waits for a database."""
    await asyncio.sleep(0.005)
    return {"order": number, "lines": list(range(100))}


@app.get("/reports/{name}")
def report(name: str) -> str:
    """Computes in Python, in one of anyio's threads: the loop waits for the GIL, and with it every request."""
    found = hashlib.sha256(name.encode()).hexdigest()
    for _ in range(20_000):
        found = hashlib.sha256(found.encode()).hexdigest()
    return found


@app.get("/metrics")
def metrics() -> Response:
    return Response(prometheus_client.generate_latest(), media_type="text/plain")
