"""A Celery worker with each task as a region, its counters for Prometheus, and a flight recorder.

    pip install 'tracekit[prometheus]' celery
    celery --app celery_service worker --pool threads --concurrency 8 --loglevel warning
    python celery_service.py 200

The second line starts the worker, the third sends it 200 tasks of each kind. The broker is a folder here, so that
nothing else is needed; a worker with another one is counted the same way. Its counters are at
http://127.0.0.1:9464/metrics, and examples/dashboards/celery.json is a dashboard for Grafana over a Prometheus that
scrapes them.
"""

import hashlib
import json
import os
import sys
import time

import prometheus_client
from celery import Celery, Task, signals

import tracekit

FOLDER = os.environ.get("BROKER_FOLDER", "/tmp/celery-broker")
PORT = int(os.environ.get("METRICS_PORT", "9464"))


class Counted(Task):
    """Each run of a task is a region of its name."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        with tracekit.region(self.name):
            return super().__call__(*args, **kwargs)


app = Celery("celery_service", broker="filesystem://", task_cls=Counted)
app.conf.broker_transport_options = {
    "data_folder_in": f"{FOLDER}/queue",
    "data_folder_out": f"{FOLDER}/queue",
    "control_folder": f"{FOLDER}/control",
}
os.makedirs(f"{FOLDER}/queue", exist_ok=True)


@signals.worker_ready.connect
def serve_metrics(**about: object) -> None:
    prometheus_client.REGISTRY.register(tracekit.prometheus.Collector())
    tracekit.flight("slow-task-{n}.log", max_size="16M", hold_over="200ms", region_over="5s")
    prometheus_client.start_http_server(PORT, "127.0.0.1")


@app.task(name="orders.send")
def send_order(number: int) -> str:
    """Waits for a mail server, then makes JSON: it holds the GIL for a moment only."""
    time.sleep(0.005)
    return json.dumps({"order": number, "lines": list(range(100))})


@app.task(name="reports.make")
def make_report(name: str) -> str:
    """Computes in Python: all other tasks wait for a switch interval each time they want to go on."""
    found = hashlib.sha256(name.encode()).hexdigest()
    for _ in range(20_000):
        found = hashlib.sha256(found.encode()).hexdigest()
    return found


if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        send_order.delay(number)
        make_report.delay(str(number))
