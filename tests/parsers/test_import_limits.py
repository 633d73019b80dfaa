"""Numbers of other tracers' files that are almost none, or none: what is taken, and what is left out and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tracekit


def giltracer(folder: Path, *threads: tuple[object, object], times: tuple[object, object] = (1, 2)) -> Path:
    """A hold of each of these pids and tids, after 500 ns of waiting."""
    told: list[dict[str, Any]] = []
    for pid, tid in threads:
        of = {"pid": pid, "tid": tid, "cat": "GIL state"}
        told += [{**of, "name": "GIL", "ph": "b", "ts": 0.5}, {**of, "name": "LOCK", "ph": "b", "ts": times[0]}]
        told += [{**of, "name": "LOCK", "ph": "e", "ts": times[1]}, {**of, "name": "GIL", "ph": "e", "ts": 9}]
    path = folder / "giltracer.json"
    path.write_text(json.dumps({"traceEvents": told}))
    return path


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (0, "0"), (2**32 - 1, str(2**32 - 1)), (2**32, None), (-1, None), (True, None), (1.5, None), (None, None),
        ("0", "0"), ("007", "7"), ("7-GIL", "7"), (str(2**32 - 1), str(2**32 - 1)), (str(2**32), None), ("x", None),
    ],
)  # fmt: skip
def test_a_thread_of_giltracer_is_a_number_of_32_bits(given: object, read: str | None, tmp_path: Path) -> None:
    """Beside one that is good; what is left out is counted."""
    trace = tracekit.read(giltracer(tmp_path, (40, 41), (40, given)))
    assert trace.threads.column("thread").to_pylist() == ["41", read] if read else ["41"]
    assert trace.metadata.get("records-left-out") == (None if read else "2")
    assert trace.metadata["pid"] == "40"


@pytest.mark.parametrize(
    ("times", "left_out"), [(("1", 2), "2"), ((-1, 2), "2"), ((1, None), "1"), ((2, 1), "1"), ((1, 2**62), "1")]
)
def test_a_time_of_giltracer_that_is_none_is_left_out(
    times: tuple[object, object], left_out: str, tmp_path: Path
) -> None:
    """With the wait before it, if that has no end."""
    path = giltracer(tmp_path, (40, 41), times=times)
    if left_out == "2":
        with pytest.raises(tracekit.NoEventsError, match="2 records have no thread or no sensible time"):
            tracekit.read(path)
    else:
        assert tracekit.read(path).metadata["records-left-out"] == left_out


def test_times_of_giltracer_are_microseconds(tmp_path: Path) -> None:
    """To the nanosecond, also where a float has no more digits than that."""
    path = giltracer(tmp_path, (40, 41), times=(1.001, 1234567890123.75))
    events = [(row["event"], row["clock"]) for row in tracekit.read(path).events.to_pylist()]
    assert events == [("ENTRY", 500), ("ACQUIRE", 1001), ("RELEASE", 1234567890123750)]


def gecko(folder: Path, *threads: dict[str, Any], **meta: Any) -> Path:
    """Each thread has the GIL from 1 to 2 ms, in that order, if it does not say otherwise."""
    whole = []
    for place, thread in enumerate(threads):
        markers = {"name": [1], "startTime": [1 + place], "endTime": [2 + place]}
        whole.append({"name": "", "pid": 7, "tid": 1, "markers": markers, **thread})
    path = folder / "gecko.json"
    profile = {
        "meta": {"preprocessedProfileVersion": 57, **meta},
        "threads": whole,
        "shared": {"stringArray": ["x", "Has GIL", "Waiting for GIL"]},
    }
    path.write_text(json.dumps(profile))
    return path


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (0, "0"), (2**62 - 1, str(2**62 - 1)), (2**62, None), (-1, None), (True, None), (None, None),
        ("7", "7"), (str(2**62 - 1), str(2**62 - 1)), (str(2**62), None), ("7.1", None),
    ],
)  # fmt: skip
def test_a_thread_of_a_profile_is_a_whole_number(given: object, read: str | None, tmp_path: Path) -> None:
    trace = tracekit.read(gecko(tmp_path, {"tid": 1}, {"tid": given}))
    assert trace.threads.column("thread").to_pylist() == (["1", read] if read else ["1"])
    assert trace.metadata.get("records-left-out") == (None if read else "1")


def test_a_name_of_a_profile_is_its_threads(tmp_path: Path) -> None:
    """Also where it comes before the id, or is none."""
    path = gecko(tmp_path, {"tid": 1, "name": "main"}, {"tid": 2, "name": 5}, {"tid": 3, "name": "io"}, {"tid": 4})
    assert tracekit.read(path).threads.column("name").to_pylist() == ["main", None, "io", None]


def test_a_profiles_thread_may_tell_its_markers_first(tmp_path: Path) -> None:
    """JSON has no order."""
    profile = json.loads(gecko(tmp_path, {"tid": 5, "name": "io"}).read_text())
    profile["threads"] = [dict(reversed(thread.items())) for thread in profile["threads"]]
    (tmp_path / "gecko.json").write_text(json.dumps(profile))
    (row,) = tracekit.read(tmp_path / "gecko.json").threads.to_pylist()
    assert (row["thread"], row["name"]) == ("5", "io")


@pytest.mark.parametrize(
    ("interval", "told"), [(1, "1000"), (0.5, "500"), (0, None), (-1, None), ("1", None), (1e9, None), (None, None)]
)
def test_how_often_a_profile_was_sampled(interval: object, told: str | None, tmp_path: Path) -> None:
    """It is how exact all durations are; what cannot be is not told."""
    assert tracekit.read(gecko(tmp_path, {}, interval=interval)).metadata.get("sampled-every-us") == told


def test_only_a_printable_source_is_told(tmp_path: Path) -> None:
    for source, told in (("A \x1b[31m", "Gecko profile"), ("Tachyon", "Tachyon"), (7, "Gecko profile")):
        metadata = tracekit.read(gecko(tmp_path, {}, importedFrom=source)).metadata
        assert metadata["source"] == told


@pytest.mark.parametrize("odd", ["x", None, [1], {"a": 1}, 2**62, -(2**62)])
def test_a_time_of_a_profile_that_is_none_is_left_out(odd: object, tmp_path: Path) -> None:
    """And the markers behind it stay what they are."""
    markers = {"name": [1, 0, 1], "startTime": [odd, 3, 5], "endTime": [2, 4, 6]}
    trace = tracekit.read(gecko(tmp_path, {"markers": markers}))
    assert [(row["event"], row["clock"]) for row in trace.events.to_pylist()] == [
        ("ENTRY", 5_000_000), ("ACQUIRE", 5_000_000), ("RELEASE", 6_000_000),
    ]  # fmt: skip
    assert trace.metadata["records-left-out"] == "1"


def perf(folder: Path, *lines: str) -> Path:
    path = folder / "perf.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


TAKE, TAKEN, DROP = "take_gil: (1)", "take_gil__return: (1 <- 2)", "drop_gil: (1)"


def test_a_thread_of_perf_that_wants_it_twice_has_lost_a_record(tmp_path: Path) -> None:
    """Nothing is told twice because of it."""
    rows = [(1, TAKE), (2, TAKE), (3, TAKEN), (4, DROP)]
    path = perf(tmp_path, *(f"py 7 [0] 1.00000{at}: a:{what}" for at, what in rows))
    assert [(row["event"], row["clock"] - 10**9) for row in tracekit.read(path).events.to_pylist()] == [
        ("ENTRY", 1000), ("ENTRY", 2000), ("ACQUIRE", 3000), ("RELEASE", 4000),
    ]  # fmt: skip


def test_what_is_no_record_of_perf_is_counted_with_its_line(tmp_path: Path) -> None:
    """Comments, blank lines, call graphs and other events are none of ours, and no mistakes."""
    path = perf(
        tmp_path, "# captured on: x", "", f"py 7 [0] 1.000001: a:{TAKE}", "\tffffffff take_gil+0x0 (/usr/bin/python)",
        "py 7 [0] 1.000001: sched:sched_switch: prev=1", "what is this", f"py 7 [0] 1.000002: a:{TAKEN}",
        f"  py 9 9999999999.000000: a:{DROP}", f"  what is a:{DROP}",
    )  # fmt: skip
    trace = tracekit.read(path)
    assert [(row["line"], row["code"]) for row in trace.diagnostics.to_pylist() if row["line"]] == [
        (6, "bad-record"), (8, "bad-record"), (9, "bad-record"),
    ]  # fmt: skip
    assert trace.events.num_rows == 2
    with pytest.raises(tracekit.BadLineError, match=":6: the line is not a record"):
        tracekit.analyze(path, strict=True)
