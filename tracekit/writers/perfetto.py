"""Perfetto's protobuf: tracks for threads and findings, slices, flows, a counter. protos/perfetto/trace/track_event.

By the classes that Perfetto's own package `perfetto` has for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from tracekit.errors import TracekitError
from tracekit.writers.tablestream import TableStream
from tracekit.writers.viewer import (
    FINDINGS,
    WAITERS,
    WAKES,
    Fact,
    Slice,
    findings,
    process,
    slices,
    waiters,
    with_wake_ups,
)

if TYPE_CHECKING:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket

_SEQUENCE = 1
_PROCESS, _WAITERS, _FINDINGS, _FIRST_THREAD = 1, 2, 3, 16  # track uuids
_FIRST_FINDING = 1 << 40


def write(trace: TableStream, out: BinaryIO) -> None:
    """Writes packet by packet; no memory is kept. Raises TracekitError where the package is not installed."""
    try:
        from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder
    except ImportError as error:
        raise TracekitError(
            "Perfetto traces are written with Perfetto's package, which is not installed.",
            "Install it: pip install 'tracekit[perfetto]'.",
        ) from error
    builder = StreamingTraceProtoBuilder(out)
    for packet in _Packets().of(trace):
        builder.write_packet(packet)


class _Packets:
    def __init__(self) -> None:
        from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as protos

        self._protos = protos

    def of(self, trace: TableStream) -> Iterator[TracePacket]:
        explicit = self._protos.TrackDescriptor.ChildTracksOrdering.EXPLICIT
        pid, name = process(trace.analysis)
        yield self._track(_PROCESS, None, None, process={"pid": pid, "process_name": name}, child_ordering=explicit)
        yield self._track(_WAITERS, WAITERS, _PROCESS, counter={"unit_name": "threads"}, sibling_order_rank=0)
        tracks = {}
        for rank, thread in enumerate(trace.threads, start=1):
            tracks[thread] = _FIRST_THREAD + rank
            yield self._track(tracks[thread], trace.analysis.names[thread], _PROCESS, sibling_order_rank=rank)
        for slice in with_wake_ups(slices(trace)):
            yield from self._slice(slice, tracks[slice.track])
        for clock, count in waiters(trace):
            event = {"type": self._protos.TrackEvent.TYPE_COUNTER, "counter_value": count}
            yield self._event(clock, _WAITERS, **event)
        yield self._track(_FINDINGS, FINDINGS, None)
        for finding in findings(trace.analysis):
            if finding.track not in tracks:
                tracks[finding.track] = _FIRST_FINDING + len(tracks)
                yield self._track(tracks[finding.track], finding.track, _FINDINGS)
            yield from self._slice(finding, tracks[finding.track])

    def _slice(self, slice: Slice, track: int) -> Iterator[TracePacket]:
        kinds = self._protos.TrackEvent
        notes = self._notes(slice.facts)
        begin: dict[str, Any] = {"type": kinds.TYPE_SLICE_BEGIN, "name": slice.name, "categories": ["gil"]}
        if slice.flow is not None:
            begin["terminating_flow_ids" if slice.name == WAKES else "flow_ids"] = [slice.flow]
        yield self._event(slice.start, track, **begin, debug_annotations=notes)
        yield self._event(slice.end, track, type=kinds.TYPE_SLICE_END)

    def _notes(self, facts: Mapping[str, Fact]) -> list[Any]:
        kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
        return [self._protos.DebugAnnotation(name=name, **{kinds[type(fact)]: fact}) for name, fact in facts.items()]

    def _event(self, clock: int, track: int, **event: Any) -> TracePacket:
        return self._protos.TracePacket(
            timestamp=clock, trusted_packet_sequence_id=_SEQUENCE, track_event={"track_uuid": track, **event}
        )

    def _track(self, uuid: int, name: str | None, parent: int | None, **more: Any) -> TracePacket:
        track = {"uuid": uuid, "name": name, "parent_uuid": parent, **more}
        return self._protos.TracePacket(
            trusted_packet_sequence_id=_SEQUENCE,
            track_descriptor={key: value for key, value in track.items() if value is not None},
        )
