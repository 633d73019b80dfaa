"""Measures the HTML report of large traces: how it is made, and how it behaves in Chromium.

    python benchmarks/report.py [--events 30000000] [--dir DIR] [--runs 5]

Needs Chromium and `pip install tracekit[test]`. `tracekit analyze` and `tracekit report` take turns, each a process of
its own; figures are medians. In the browser: from opening the file to the first timeline drawn, the longest task that
blocks the page meanwhile and until all is there, and how long drawing it again takes after each of 40 zooms and pans.
Nothing fails for being slow; each goal is met or missed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from compare import Bench, execute, note, print_table, warm
from playwright.sync_api import Browser, sync_playwright

EVENTS = {"plain": 30_000_000, "timed": 30_000_000, "threads512": 3_000_000}
RATIO_GOAL, SIZE_GOAL, MEMORY_GOAL, OPEN_GOAL, DRAW_GOAL, TASK_GOAL = 2.0, 1.2, 1000.0, 1.0, 34.0, 100.0
"""Of redraws 95 % shall take two frames: the one that is waited for, and the one that is painted."""
TASKS = """globalThis.longTasks = [];
new PerformanceObserver(list => longTasks.push(...list.getEntries().map(entry => entry.duration)))
    .observe({ type: "longtask", buffered: true });"""
# Zooms into the middle, pans there, and zooms out again; each time the whole frame: scripts, layout and paint.
REDRAW = """async () => {
    const page = globalThis.tracekit, view = page.views[0], found = [];
    const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
    const moves = [];
    for (let i = 0; i < 10; i++) moves.push(() => view.zoom(0.5));
    for (let i = 0; i < 20; i++) moves.push(() => view.pan((i % 2 ? -1 : 1) * view.span * 0.3));
    for (let i = 0; i < 10; i++) moves.push(() => view.zoom(2));
    for (const move of moves) {
        await frame();
        const began = performance.now();
        move();
        await frame();
        found.push(performance.now() - began);
    }
    return found;
}"""


def make(bench: Bench, shape: str, events: int) -> tuple[Path, list[str], float]:
    """The report, its row of the table, and how long it takes beside `analyze`."""
    trace = bench.trace(shape, events)
    page = trace.with_suffix(".html")
    commands = {
        "analyze": [sys.executable, "-m", "tracekit", "analyze", str(trace)],
        "report": [sys.executable, "-m", "tracekit", "report", str(trace), "-o", str(page)],
    }
    warm(trace)
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(bench.runs):
        for name, command in commands.items():
            note(f"{trace.name}: {name}, run {turn + 1} of {bench.runs}")
            measured[name].append(execute(command)[1:])
    analyze, report = (median(seconds for seconds, _ in measured[name]) for name in ("analyze", "report"))
    peak, size = max(peak for _, peak in measured["report"]), page.stat().st_size / 1e6
    goals = bench.goals
    goals.add(f"{shape}: report takes × analyze", f"<= {RATIO_GOAL}", f"{report / analyze:.2f}",
              report <= RATIO_GOAL * analyze)  # fmt: skip
    goals.add(f"{shape}: peak memory, MB", f"< {MEMORY_GOAL:.0f}", f"{peak:.0f}", peak < MEMORY_GOAL)
    goals.add(f"{shape}: size, MB", f"<= {SIZE_GOAL}", f"{size:.1f}", size <= SIZE_GOAL)
    row = [
        shape,
        f"{events:,}",
        f"{analyze:.2f}",
        f"{report:.2f}",
        f"{report / analyze:.2f}",
        f"{peak:.0f}",
        f"{size:.1f}",
    ]
    return page, row, report / analyze


def measure(browser: Browser, page: Path) -> tuple[float, float, list[float]]:
    """Seconds until the first timeline is drawn, and milliseconds of the longest task and of each redraw."""
    opened = browser.new_context(viewport={"width": 1600, "height": 1000}).new_page()
    try:
        opened.add_init_script(TASKS)
        began = time.perf_counter()
        opened.goto(page.as_uri())
        while not opened.evaluate("globalThis.tracekit !== undefined"):
            opened.wait_for_timeout(10)
        opened.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")
        ready = time.perf_counter() - began
        opened.evaluate("globalThis.tracekit.ready")
        return ready, opened.evaluate("Math.max(0, ...longTasks)"), opened.evaluate(f"({REDRAW})()")
    finally:
        opened.context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, help="of each trace (30 million; of 512 threads 3 million)")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()) / "tracekit-benchmarks")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("There is no chromium here: install it.")
    bench = Bench(options.dir, options.events or EVENTS["plain"], options.runs)
    made = [make(bench, shape, options.events or events) for shape, events in EVENTS.items()]
    heads = ["", "events", "analyze, s", "report, s", "ratio", "peak MB", "size, MB"]
    print_table("Making the report", heads, [row for _, row, _ in made])
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for page, (shape, *_), _ in made:
            note(f"{page.name}: in Chromium")
            visits = [measure(browser, page) for _ in range(bench.runs)]
            opening = median(seconds for seconds, _, _ in visits)
            longest = median(task for _, task, _ in visits)
            redraws = sorted(one for _, _, all_of_it in visits for one in all_of_it)
            drawing, slow = median(redraws), redraws[len(redraws) * 95 // 100]
            rows.append((shape, f"{opening:.2f}", f"{longest:.0f}", f"{drawing:.0f}", f"{slow:.0f}"))
            bench.goals.add(f"{shape}: opens in, s", f"< {OPEN_GOAL:.0f}", f"{opening:.2f}", opening < OPEN_GOAL)
            bench.goals.add(f"{shape}: longest task, ms", f"< {TASK_GOAL:.0f}", f"{longest:.0f}", longest < TASK_GOAL)
            bench.goals.add(f"{shape}: 95 % of redraws in, ms", f"< {DRAW_GOAL:.0f}", f"{slow:.0f}", slow < DRAW_GOAL)
        browser.close()
    print_table("In Chromium", ["", "opens in, s", "longest task, ms", "redraws in, ms", "95 % of them in, ms"], rows)
    print_table("Goals", ["", "goal", "found", ""], bench.goals.rows)


if __name__ == "__main__":
    main()
