"""Traces for the property tests: valid ones, faulty ones, and bytes that only look like one."""

from __future__ import annotations

from hypothesis import strategies as st

THREADS = ["t1", "t2", "t3", "6752", "MainThread-with-a-long-name", "MainThread-with-a-long-nam", "ünï", "t\x01"]
EVENTS = ["ENTRY", "ACQUIRE", "RELEASE", "BUSY", "RETRY"]

counts = st.one_of(st.integers(-2, 120).map(str), st.just("-"), st.sampled_from(["1000000000000", "-1000000000000"]))
checks = st.one_of(st.integers(0, 9).map(str), st.just("-"), st.just("5393"), st.just("1234567890"))
times = st.one_of(st.just(""), st.integers(0, 10**6).map(str), st.sampled_from([str(2**62), "12345678", "1" * 17]))


@st.composite
def event_lines(draw: st.DrawFn, timed: bool = False) -> str:
    time = draw(st.integers(0, 10**6).map(str)) if timed else draw(times)
    blank = draw(st.sampled_from([" ", " ", "  ", "\t", " \t  "]))
    words = [
        draw(st.sampled_from(THREADS[:3] * 4 + THREADS)),
        draw(counts),
        draw(checks),
        draw(st.sampled_from(EVENTS)),
    ]
    line = blank.join(words)
    return line + (draw(st.sampled_from([" ", "\t"])) + time if time else "")


odd_lines = st.one_of(
    st.sampled_from(
        [
            "", "   ", "# python: 3.13.0", "#check-interval: 10", "# check-interval: 7", "# thread: t1 = main = loop",
            "  # lost: 4", "# prose: a: b", "# no colon", "#", "t1 100 5", "t1 100 5 WAKEUP", "t1 x 5 ENTRY",
            "t1 5 +1 ENTRY", "t1 5 1_0 ENTRY", "t1 9999999999999 1 ENTRY", "t1 1 1 ENTRY 9999999999999999999",
            "t1 1 1 ENTRY -1", "t1 1 1 ENTRY 12x", "t1 1 1 ENTRY <- wants it", "t1 1 1 entry\r", "\tt1 1 1 Busy\r",
            "t\x00 1 1 ENTRY", "t1 1 1 ENTRYX", "t1 1 1 ENTRY\r\r", "-- - - BUSY", "t2 " + "0" * 30 + "7 1 RETRY",
            "t2 1 1 ACQUIRE 000000000000000000000000012", "t1\u00a0 1 1 ENTRY", "t1 1 1 ACQUIRE\v", "t1 ١ 1 ENTRY",
        ]
    ),
    st.text(max_size=20),
)  # fmt: skip

numbers = st.one_of(
    st.integers(0, 9).map(str),
    st.sampled_from([str(2**62), str(2**62 + 1), "007", "1" * 18, "1" * 19, "9" * 30, "x", "-1", "1,2", "1=2", ""]),
)
unlocks = st.lists(st.integers(0, 12).map(str), min_size=1, max_size=10).map(",".join)
attributes = st.one_of(
    st.builds("{}={}".format, st.sampled_from(["cpu", "stack", "sample", "region", "lock", "unlocks"]), numbers),
    st.builds("unlocks={}".format, unlocks),
    st.sampled_from(["note", "zz=1", "z-z=x", "cpu", "=1", "-a=1", "Cpu=1", "stac=1", "stacks=1", "cpu=1\r", "cpu=\0"]),
)
definitions = st.one_of(
    st.builds("# code: {} = {} f{} a file.py".format, *[st.integers(0, 4)] * 3),
    st.builds("# stack: {} = {} {} {}".format, *[st.integers(0, 6)] * 4),
    st.builds("# region: {} = r{}".format, *[st.integers(0, 4)] * 2),
    st.sampled_from(
        ["# region: eu", "# code: x = 1 f g", "#stack:\t 007  =  0 \t1  2 ", "# stack: 8 = 7 1 2147483648"]
    ),
)


@st.composite
def attributed(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> bytes:
    """The same lines, with attributes behind them and definitions between them."""
    told: list[str] = []
    for line in draw(lines).decode("utf-8", "surrogateescape").split("\n"):
        if draw(st.integers(0, 4)) == 0:
            told.append(draw(definitions))
        blank = draw(st.sampled_from([" ", " ", " ", "\t", "  "]))
        words = draw(st.lists(attributes, max_size=3)) if line.strip() and draw(st.booleans()) else []
        told.append(blank.join([line.removesuffix("\r"), *words]) + draw(st.sampled_from(["", "", "", " ", "\r"])))
    return "\n".join(told).encode("utf-8", "surrogateescape")


line_ends = st.sampled_from(["\n", "\n", "\n", "\r\n"])


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Text with events, good and bad lines, and now and then what is no UTF-8."""
    line = st.one_of(event_lines(), event_lines(timed=True), odd_lines)
    parts = [draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))]
    for content in draw(st.lists(line, min_size=1, max_size=40)):
        raw = content.encode("utf-8", "surrogatepass")
        if draw(st.integers(0, 30)) == 0:
            raw = raw.replace(b"1", b"\xff", 1)
        parts.append(raw + draw(line_ends).encode())
    text = b"".join(parts)
    return text.rstrip(b"\r\n") or text if draw(st.booleans()) else text


@st.composite
def histories(draw: st.DrawFn) -> bytes:
    """Rows of a few threads in any order: a state machine must take them all. Long enough for real stories."""
    timed = draw(st.booleans())
    threads = draw(st.integers(1, 5))
    clock = count = 0
    lines = []
    for _ in range(draw(st.integers(1, 120))):
        clock += draw(st.integers(0, 9))
        count += draw(st.integers(0, 1))
        thread, event = draw(st.integers(1, threads)), draw(st.sampled_from(EVENTS))
        ticks = draw(st.sampled_from(["100", "50", "0", "-1", "-"]))
        lines.append(f"t{thread} {ticks} {count} {event}{f' {clock}' if timed else ''}")
    return "\n".join(lines).encode()


@st.composite
def stories(draw: st.DrawFn) -> bytes:
    """A trace as a real GIL would write it: one holder, waits that end, battles."""
    threads = draw(st.integers(2, 4))
    unit = draw(st.sampled_from([1, 1, 200_000]))
    holder: int | None = None
    waiting: set[int] = set()
    clock = checks = 0
    lines = []

    def row(thread: int, event: str) -> None:
        nonlocal clock
        clock += draw(st.integers(0, 20)) * unit
        lines.append(f"t{thread} - {checks} {event} {clock}")

    for _ in range(draw(st.integers(1, 60))):
        if holder is None:
            holder = draw(st.sampled_from(sorted(waiting))) if waiting else draw(st.integers(1, threads))
            if holder not in waiting:
                row(holder, "ENTRY")
            waiting.discard(holder)
            row(holder, "ACQUIRE")
        act = draw(st.sampled_from(["wait", "retry", "release", "again"]))
        others = [t for t in range(1, threads + 1) if t != holder and t not in waiting]
        if act == "wait" and others:
            thread = draw(st.sampled_from(others))
            waiting.add(thread)
            row(thread, "ENTRY")
            row(thread, "BUSY")
        elif act == "retry" and waiting:
            row(draw(st.sampled_from(sorted(waiting))), "RETRY")
        elif act == "release":
            row(holder, "RELEASE")
            holder = None
        elif act == "again":
            checks += 1
            for event in ("RELEASE", "ENTRY", "ACQUIRE"):
                row(holder, event)
    return "\n".join(lines).encode() + b"\n"
