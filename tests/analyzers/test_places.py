"""Lines in words: the user's own frame first, what it was in, and what is known of that function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import tracekit
from tests.cli.test_cli import run
from tracekit.analyzers.culprits import CULPRITS, matching
from tracekit.analyzers.places import Frame, _words
from tracekit.checks import CheckFailed

LIB = "/usr/lib/python3.12"
DECODE = Frame("JSONDecoder.raw_decode", f"{LIB}/json/decoder.py", 353, None)
LOADS = Frame("loads", f"{LIB}/json/__init__.py", 346, None)
HANDLE = Frame("handle", "/srv/app.py", 42, None)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([HANDLE], "handle (app.py:42)"),
        ([HANDLE._replace(calls="sorted")], "handle (app.py:42, calls sorted)"),
        ([LOADS, HANDLE], "handle (app.py:42) in json.loads (__init__.py:346)"),
        ([DECODE, LOADS, HANDLE], "handle (app.py:42) in json.loads -> JSONDecoder.raw_decode (decoder.py:353)"),
        ([HANDLE, LOADS, HANDLE], "handle (app.py:42)"),
        ([DECODE, LOADS], "JSONDecoder.raw_decode (decoder.py:353)"),
        ([Frame("get", "/v/site-packages/a/b.py", 3, None), HANDLE], "handle (app.py:42) in a.b.get (b.py:3)"),
        ([Frame("f", "<frozen os.path>", 9, None), HANDLE], "handle (app.py:42) in os.path.f (<frozen os.path>:9)"),
        ([Frame("f\n", "/srv/\x1b.py", 1, None)], "f\\n (\\x1b.py:1)"),
        ([], None),
    ],
)  # fmt: skip
def test_words(frames: Sequence[Frame], words: str | None) -> None:
    assert _words(frames) == words


def long_hold(tmp_path: Path, calls: str = "sorted") -> Path:
    """20 ms at line 42, then 10 at a library's; a short wait back."""
    path = tmp_path / "t.log"
    path.write_text(f"""# gil: new
# thread: h = hog
# thread: w = victim
# code: 1 = 40 handle /srv/app.py
# code: 2 = 9 wait /srv/app.py
# code: 3 = 340 JSONDecoder.raw_decode {LIB}/json/decoder.py
# calls: 1 = 42 {calls}
# stack: 1 = 0 1 42
# stack: 2 = 0 2 10
# stack: 3 = 1 3 353
h - 0 ENTRY 1000
h - 0 ACQUIRE 1000
w - 0 ENTRY 2000
w - 0 BUSY 2000 stack=2 sample=1
w - 0 RETRY 5002000
w - 0 RETRY 20002000 sample=3
w - 0 RETRY 25002000
h - 1 RELEASE 30002000 cpu=30000000
w - 1 ACQUIRE 30003000
h - 1 ENTRY 30004000
h - 1 BUSY 30004000
w - 1 RELEASE 30005000
h - 1 ACQUIRE 30006000
h - 1 RELEASE 30007000
""")
    return path


def test_a_finding_names_the_line_on_both_sides_and_what_is_known_of_it(tmp_path: Path) -> None:
    analysis = tracekit.analyze(long_hold(tmp_path))
    (finding,) = [finding for finding in analysis.findings if finding.kind == "long_holds"]
    assert finding.lines == (
        "The GIL was held at: handle (app.py:42, calls sorted) 66.7 %, "
        "handle (app.py:42) in json.decoder.JSONDecoder.raw_decode (decoder.py:353) 33.3 %.",
        "It was waited at: wait (app.py:10) 100.0 %.",
    )
    sums: Counter[int] = Counter()
    for row in analysis.stack_blame.to_pylist():
        if row["cause"] == "long_hold":
            sums[row["holder_stack"]] += row["duration"]
    assert f"{100 * sums[1] / sums.total():.1f} %" == "66.7 %"
    sorting, json = (next(each for each in CULPRITS if name in each.name) for name in ("Sorting", "json"))
    assert finding.advice == " ".join(f"{c.name} {c.keeps}. {c.advice} ({c.source})" for c in (sorting, json))


@pytest.mark.parametrize("calls", ["time.time", "*args", "mine.sorted"])
def test_of_other_functions_nothing_is_said(calls: str, tmp_path: Path) -> None:
    (finding,) = [f for f in tracekit.analyze(long_hold(tmp_path, calls)).findings if f.kind == "long_holds"]
    assert "Sorting" not in finding.advice
    assert "huge integers" not in finding.advice.split("json keeps")[0]


def test_a_call_counts_only_in_c_code() -> None:
    """A loop of `2 ** n` is Python code; the decoder's own frame tells json in any case."""
    assert [culprit.name for culprit in matching(None, ["**"], in_c=True)] == ["Arithmetic on huge integers"]
    assert list(matching(None, ["**"], in_c=False)) == []
    assert [culprit.name for culprit in matching("json.decoder.JSONDecoder.raw_decode", [], in_c=False)] == ["json"]
    assert [culprit.name for culprit in matching("json.decoder.raw_decode", [], in_c=False)] == ["json"]
    assert [culprit.name for culprit in matching("re._compiler._parse", [], in_c=True)] == []


def test_every_culprit_says_all_that_is_told_of_it() -> None:
    for culprit in CULPRITS:
        assert culprit.source.startswith("https://")
        assert culprit.advice.endswith(".")
        assert not culprit.keeps.endswith(".")
        assert culprit.frames or culprit.calls
    assert len({culprit.name for culprit in CULPRITS}) == len(CULPRITS)


def test_the_summary_and_a_failing_check_tell_lines(tmp_path: Path) -> None:
    trace = long_hold(tmp_path)
    told = " ".join(run("analyze", str(trace)).stdout.split())
    assert "The GIL was held at: handle (app.py:42, calls sorted) 66.7 %" in told
    pairs = told.partition("Which line kept it, which line waited")[2]
    assert pairs.index("20.0 ms handle (app.py:42, calls sorted) wait (app.py:10)") < pairs.index("10.0 ms handle")
    with pytest.raises(CheckFailed, match=r"held at: handle \(app.py:42, calls sorted\)"):
        tracekit.check(trace, no=["long_holds"])
    with pytest.raises(CheckFailed, match=r"held at: handle \(app.py:42, calls sorted\)"):
        tracekit.check(trace, max_wait_share=0.1)


def two_causes(tmp_path: Path) -> tracekit.Analysis:
    """w waits 15 ms for a long hold at line 7, 5 ms queueing at line 9, and 3 ms at an unknown line."""
    rows = ["# code: 1 = 1 f /srv/x.py", *(f"# stack: {number} = 0 1 {number}" for number in (7, 9, 3))]
    now = 0
    for holder, sample, lasts, retries in (("a", " sample=7", 15, 2), ("b", " sample=9", 5, 0), ("c", "", 3, 0)):
        rows += [f"{holder} - 0 ENTRY {now}", f"{holder} - 0 ACQUIRE {now}", f"w - 0 ENTRY {now}"]
        rows += [f"w - 0 BUSY {now} stack=3{sample}", *[f"w - 0 RETRY {now + 1}"] * retries]
        now += lasts * 1_000_000
        rows += [f"{holder} - 0 RELEASE {now}", f"w - 0 ACQUIRE {now}", f"w - 0 RELEASE {now}"]
    (tmp_path / "t.log").write_text("".join(f"{row}\n" for row in rows))
    return tracekit.analyze(tmp_path / "t.log", min_cycles=99)


def test_a_finding_tells_only_the_lines_of_its_own_cause(tmp_path: Path) -> None:
    lines = {finding.kind: finding.lines for finding in two_causes(tmp_path).findings}
    waited = "It was waited at: f (x.py:3) 100.0 %."
    assert lines["long_holds"] == ("The GIL was held at: f (x.py:7) 100.0 %.", waited)
    assert lines["queueing"] == ("The GIL was held at: f (x.py:9) 62.5 %.", waited)


def test_pairs_of_lines_are_the_costliest_and_say_what_is_not_known(tmp_path: Path) -> None:
    pairs = two_causes(tmp_path).places.pairs(9)
    assert [(pair.held, pair.waited, pair.duration // 1_000_000) for pair in pairs] == [
        ("f (x.py:7)", "f (x.py:3)", 15), ("f (x.py:9)", "f (x.py:3)", 5), ("an unknown line", "f (x.py:3)", 3),
    ]  # fmt: skip
    assert sum(pair.share for pair in pairs) == pytest.approx(1)


def test_unless_the_lines_and_the_cpu_time_tell_all_the_machine_or_c_code_is_to_be_looked_at(tmp_path: Path) -> None:
    """What is known of a function replaces the general advice only where it kept the GIL, and for most of the time."""
    path, machine = long_hold(tmp_path), "Look at the machine's load"
    told = path.read_text()
    for text, expected in (
        (told, ""),
        (told.replace(" cpu=30000000", ""), machine),
        (told.replace(" sample=1", "").replace(" sample=3", ""), "Find the long calls of h"),
    ):
        path.write_text(text)
        (finding,) = [finding for finding in tracekit.analyze(path).findings if finding.kind == "long_holds"]
        assert expected in finding.advice
        assert (machine in finding.advice) == (expected == machine)
        assert ("ind the long calls of" in finding.advice) == bool(expected)
