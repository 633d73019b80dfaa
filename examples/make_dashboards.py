"""Writes the dashboards of the examples, for Grafana: python examples/make_dashboards.py"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
SERVICES = {"flask": "request", "fastapi": "request", "celery": "task"}
"""Each example, and what its regions are."""


def panel(number: int, title: str, unit: str, *queries: tuple[str, str]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": title,
        "gridPos": {"h": 8, "w": 12, "x": 12 * ((number - 1) % 2), "y": 8 * ((number - 1) // 2)},
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {"refId": "ABC"[place], "expr": query, "legendFormat": legend}
            for place, (query, legend) in enumerate(queries)
        ],
    }


def dashboard(service: str, region: str) -> dict[str, Any]:
    names, threads = "{{instance}} {{region}}", "{{instance}} {{threads}}"
    waited = 'rate(python_gil_region_seconds_total{state="waited"}[1m])'
    each = "rate(python_gil_regions_total[1m])"
    panels = [
        (f"{region.title()}s a second", "ops", (f"sum by (instance, region) ({each})", names)),
        (
            f"What a {region} waits for the GIL, on average", "s",
            (f"sum by (instance, region) ({waited}) / sum by (instance, region) ({each})", names),
        ),
        (
            f"How the time of {region}s is spent", "percentunit",
            (
                "sum by (instance, state) (rate(python_gil_region_seconds_total[1m])) / ignoring (state) group_left "
                "sum by (instance) (rate(python_gil_region_seconds_total[1m]))",
                "{{instance}} {{state}}",
            ),
        ),
        (
            "Threads that wait for the GIL, by cause", "short",
            ("sum by (instance, cause) (rate(python_gil_waited_seconds_total[1m]))", "{{instance}} {{cause}}"),
        ),
        (
            "Share of time in which the GIL is held, by threads", "percentunit",
            ("sum by (instance, threads) (rate(python_gil_held_seconds_total[1m]))", threads),
        ),
        (
            "Waits: 99 of 100 are shorter", "s",
            (
                "histogram_quantile(0.99, sum by (instance, threads, le) (rate(python_gil_wait_seconds_bucket[5m])))",
                threads,
            ),
        ),
        (
            "Releases a second", "ops",
            ("sum by (instance) (rate(python_gil_forced_releases_total[1m]))", "{{instance}} made to let go"),
            ("sum by (instance) (rate(python_gil_blocking_releases_total[1m]))", "{{instance}} to block"),
        ),
        (
            "Held by threads that do not run", "percentunit",
            ("sum by (instance, threads) (rate(python_gil_off_cpu_held_seconds_total[1m]))", threads),
        ),
    ]  # fmt: skip
    return {
        "title": f"{service}: the GIL",
        "uid": f"tracekit-gil-{service}",
        "schemaVersion": 39,
        "version": 1,
        "tags": ["python", "gil"],
        "timezone": "",
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": [panel(number, *about) for number, about in enumerate(panels, 1)],
    }


def written() -> dict[Path, str]:
    made = {FOLDER / f"{service}.json": dashboard(service, region) for service, region in SERVICES.items()}
    return {path: json.dumps(content, indent=2) + "\n" for path, content in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in written().items():
        path.write_text(text)
