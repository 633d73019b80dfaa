"""Which small bugs in the core's C would the tests notice?

    python -m tests.mutation.native [--only SUBSTRING...]

Each of `MUTANTS`, made by hand where the C decides something, is built into a copy of the working tree, and the tests
of the core run there up to the first failure. Ends with 1 if one no longer fits the C.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.python import HEAVY, Chosen, in_a_fork, tree_copy

NATIVE = "tracekit/_native"
TESTS = [
    "tests/timeline/test_golden.py", "tests/parsers/test_encoding.py", "tests/parsers/test_attributes.py",
    "tests/analyzers/test_labelled.py", "tests/timeline/test_picture.py", "tests/timeline/test_properties.py",
    "tests/timeline/test_ring.py", "tests/timeline/test_attributes.py",
    "tests/parsers/test_crafted_text.py::test_an_id_that_is_too_long",
    "-k", "not python",  # the other core's
]  # fmt: skip
SECONDS = 240  # of CPU
MUTANTS: dict[str, list[tuple[str, str]]] = {
    "scan.c": [
        ("c >= 0xC2 && c <= 0xDF ? 1", "c >= 0xC0 && c <= 0xDF ? 1"),
        ("(c == 0xED && *p > 0x9F)", "(c == 0xED && *p > 0xBF)"),
        ("(c == 0xF0 && *p < 0x90)", "(c == 0xF0 && *p < 0x80)"),
        ("c <= 0xF4 ? 3", "c <= 0xF5 ? 3"),
        ("if (p == end) return NO_INTEGER;", ""),
        ("if (digit > 9) return NO_INTEGER;", "if (digit > 10) return NO_INTEGER;"),
        ("negative ? -(int64_t)sum : (int64_t)sum", "(int64_t)sum"),
        ("*value < least || *value > most", "*value < least || *value >= most"),
        ("if (strlen(words[event]) != length) continue;", "if (strlen(words[event]) > length) continue;"),
        ("[TK_REGION] = 1 << TK_ENTRY | 1 << TK_RELEASE", "[TK_REGION] = 1 << TK_ENTRY | 1 << TK_BUSY"),
        ("stop, key != TK_CPU, &value", "stop, 0, &value"),
        ("            bad++;", ""),
        ("if (!comma) return count;", "if (!comma) return count - 1;"),
        ("if (length > TK_LINE_LIMIT)", "if (length >= TK_LINE_LIMIT)"),
        ("stop[0] - start[0] > TK_ID_LIMIT", "stop[0] - start[0] >= TK_ID_LIMIT"),
        ("if (words < 4) return", "if (words < 3) return"),
    ],
    "findings.c": [
        ("a->start_seq > b->start_seq", "a->start_seq < b->start_seq"),
        ("(uint64_t)group->cost + (uint64_t)found->cost", "(uint64_t)found->cost"),
        ("found->start_seq < group->start_seq", "found->start_seq > group->start_seq"),
        ("56 - __builtin_clzll", "57 - __builtin_clzll"),
        ("if ((int64_t)all->kept.count < worst)", "if ((int64_t)all->kept.count <= worst)"),
    ],
    "timeline.c": [
        ("w->run == oldest && w->run_held == 0", "w->run == oldest"),
        ("w->busy_run == oldest && w->busy_run_acquires == 0", "w->busy_run == oldest"),
        ("if (t->run_acquires > before) TRY(map_add(rivals, t->run_thread, t->run_acquires - before));", ""),
        ("charge(t, to, r->held_by, r->held - before, counting);", "charge(t, to, r->held_by, r->held, counting);"),
        ("t->contended_open -= w->contended;", ""),
        ("w->run_held = held_in_run(t);", "w->run_held = t->run_held;"),
        ("++c->gap > t->options.max_gap", "++c->gap >= t->options.max_gap"),
        ("t->frozen_checks >= t->options.min_frozen", "t->frozen_checks > t->options.min_frozen"),
        ("    } else if (ticks != TK_NULL) {\n        end_frozen(t);", "    } else {\n        end_frozen(t);"),
        ("t->contended_open > (own->open && own->contended)", "t->contended_open > 0"),
        ("held >= t->options.long_hold && others_wait", "held > t->options.long_hold && others_wait"),
        ("held >= PREEMPTED_FROM && cpu < held - cpu", "held > PREEMPTED_FROM && cpu < held - cpu"),
        ("cpu < held - cpu;", "cpu <= held - cpu;"),
        ("ticks > t->interval ? t->interval : ticks", "ticks"),
        ("now - *first > *clock", "now - *first != *clock"),
        ("at_release < at_acquire) return TK_UNKNOWN_RELEASE", "false) return TK_UNKNOWN_RELEASE"),
        ("at_release > at_acquire ? TK_CHECK_RELEASE", "at_release >= at_acquire ? TK_CHECK_RELEASE"),
        ("if (w->hold != t->hold_number) w->hold_timeouts = 0;", ""),
        ("t->hold_most_stale |= w->hold_timeouts > 0;", ""),
        ("t->reacquires > w->reacquires_at_mark", "t->reacquires >= w->reacquires_at_mark"),
        ("} else if (t->acquires == w->acquires_at_mark) {", "} else if (t->acquires == w->acquires_at_busy) {"),
        ("t->reacquires += t->last_change_thread == thread;", "t->reacquires++;"),
        ("if (thread != t->run_thread) start_run", "if (true) start_run"),
        ("t->released = true;", ""),
        ("fault(t, TK_RELEASE_WITHOUT_ACQUIRE, !first_row,", "fault(t, TK_RELEASE_WITHOUT_ACQUIRE, true,"),
        ("forget_timeouts(t, &t->threads[thread].wait);", ""),
        ("t->threads[thread].wait.open)\n        return false;", "false)\n        return false;"),
        ("advance(t, c, row + 2, waiting + 1, both_clocks);", "advance(t, c, row + 2, waiting, both_clocks);"),
        ("t->threads[thread].scheduling_waits += t->hold_waited > 0;", ""),
    ],
}  # fmt: skip


def build(folder: Path, changed: str | None) -> bool:
    """Whether it compiles. Objects of unchanged files are kept."""
    objects = folder / "build" / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    flags = ["-std=gnu11", "-O1", "-fPIC", "-fvisibility=hidden", "-pthread"]
    for source in sorted((folder / NATIVE).glob("*.c")):
        made = objects / f"{source.stem}.o"
        if source.name == changed or not made.exists():
            done = subprocess.run(["cc", *flags, "-c", source, "-o", made], cwd=folder, capture_output=True)
            if done.returncode:
                return False
    library = folder / NATIVE / "_core.so"
    library.unlink(missing_ok=True)
    made_objects = sorted(objects.glob("*.o"))
    return not subprocess.run(["cc", "-shared", "-pthread", *made_objects, "-o", library], cwd=folder).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", default=[""], help="mutants whose file or text has one of these in it")
    only = parser.parse_args().only
    for module in HEAVY:
        __import__(module)
    killed, survived, unfit = 0, [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tree_copy(folder)
        if not build(folder, None):
            sys.exit("the core does not compile")
        plugin = Chosen(None)
        if (failed := in_a_fork(folder, TESTS, plugin, lambda: plugin.failed, SECONDS)) != "":
            sys.exit(f"the tests must pass first: {failed}")
        for name, edits in MUTANTS.items():
            for before, after in edits:
                label = f"{name}: {before!r} to {after!r}"
                if not any(words in label for words in only):
                    continue
                source = folder / NATIVE / name
                text = source.read_text()
                if text.count(before) != 1:
                    unfit.append(label)
                    continue
                began = time.monotonic()
                source.write_text(text.replace(before, after))
                plugin = Chosen(None)
                if not build(folder, name):
                    unfit.append(label)
                elif in_a_fork(folder, TESTS, plugin, lambda plugin=plugin: plugin.failed, SECONDS) == "":
                    survived.append(label)
                else:
                    killed += 1
                print(
                    f"{'survived' if label in survived else 'done'} ({time.monotonic() - began:.0f} s): {label}",
                    flush=True,
                )
                source.write_text(text)
                build(folder, name)
    for label in survived:
        print(f"survived: {label}")
    for label in unfit:
        print(f"no longer fits the C: {label}")
    total = killed + len(survived)
    print(f"{killed} of {total} killed ({killed / max(total, 1):.1%})")
    sys.exit(bool(unfit))


if __name__ == "__main__":
    main()
