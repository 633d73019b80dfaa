"""The text format by the native core: `parsers.text.PlainText` on every core, hundreds of times as fast."""

from __future__ import annotations

import ctypes as c
import os
import struct
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tracekit import _native
from tracekit.errors import SourceError
from tracekit.model import attributes
from tracekit.model.arrays import no_integers, strings
from tracekit.model.rows import FAULT_CODES, SEVERITIES, Machine
from tracekit.model.source import Source
from tracekit.model.stream import (
    BAD_ATTRIBUTE,
    BAD_LINE_CHARACTERS,
    BAD_LINE_TEXTS,
    BATCH_SCHEMA,
    LINE_CODES,
    BadLine,
    EventStream,
    OnProgress,
    event_dictionary,
)

BATCH_BYTES = 1 << 20  # few enough batches that Python's part in each does not count
WHOLE_BYTES = 1 << 21
_INTEGERS = {1: pa.int8(), 2: pa.int16(), 4: pa.int32(), 8: pa.int64()}
_COMMENT = struct.Struct("<qq")
PATIENCE = 100  # ms between looks at signals and at the progress


class _Pipeline:
    """Owns the C object: it must outlive the batches that came out of it."""

    def __init__(self, library: c.CDLL, handle: int) -> None:
        self.library = library
        self.handle = handle

    def __del__(self) -> None:
        self.library.tk_pipeline_free(self.handle)


class _Block:
    """Owns a batch's columns, until the last Arrow buffer on them is gone."""

    def __init__(self, pipeline: _Pipeline, address: int) -> None:
        self._pipeline = pipeline
        self._address = address

    def __del__(self) -> None:
        self._pipeline.library.tk_pipeline_give_back(self._pipeline.handle, self._address)


class NativeText(EventStream):
    def __init__(
        self,
        source: Source,
        strict: bool = False,
        whole: bool = False,
        workers: int | None = None,
        block_bytes: int | None = None,
    ) -> None:
        super().__init__(source.path)
        assert _native.library
        self._c = _native.library
        self._source = source
        self._whole = whole
        self._state = _native.ProgressStruct()
        self._next_line = 1
        self._dictionary = strings([])
        handle = self._c.tk_pipeline_new(
            source.descriptor(),
            source.head,
            len(source.head),
            workers or _native.workers(),
            block_bytes or (WHOLE_BYTES if whole else BATCH_BYTES),
            strict,
            whole,
        )
        if not handle:
            raise MemoryError
        self._pipeline = _Pipeline(self._c, handle)
        self._handle = handle
        while not self._c.tk_pipeline_prologue(handle):
            self._look()
        self._look()

    def _look(self) -> None:
        """Takes over what the core has noted so far."""
        self._c.tk_pipeline_progress(self._handle, self._state)
        size = self._c.tk_pipeline_comments(self._handle, None, 0)
        while size:
            comments = c.create_string_buffer(size)
            got = self._c.tk_pipeline_comments(self._handle, comments, size)
            if got <= size:
                self._take_comments(comments.raw[:got])
                break
            size = got

    def _take_comments(self, told: bytes) -> None:
        start = 0
        while start < len(told):
            text = start + _COMMENT.size
            seq, line = _COMMENT.unpack(told[start:text])
            end = told.index(b"\n", text)
            self.take_comment(told[text:end].decode("utf-8", "replace"), seq, line)
            start = end + 1

    def _report(self, progress: OnProgress | None) -> None:
        if progress:
            progress(*self.position())

    def _run(self, timeline: int | None) -> None:
        if not self._c.tk_pipeline_start(self._handle, timeline):
            self._look()
            self._refuse_limits()
            raise MemoryError

    def _refuse_limits(self) -> None:
        if self._state.error == _native.TOO_MANY_THREADS:
            raise self.too_many_threads()
        if self._state.error == _native.TOO_MANY_PAIRS:
            raise self.too_many_pairs()

    def _finish(self) -> None:
        """All is read, or the run stopped early: what remains to be known."""
        self._c.tk_pipeline_stop(self._handle)
        self._look()
        state, bad = self._state, self.bad_lines
        for code, name in enumerate(LINE_CODES):
            if state.bad_counts[code]:
                bad.counts[name] = state.bad_counts[code]
                bad.first[name] = state.bad_first[code]
        bad.lines.extend(self._bad_lines())
        for code, name in enumerate(FAULT_CODES):
            for error, severity in enumerate(SEVERITIES):
                if state.fault_lines[code][error]:
                    self.fault_lines[name, severity] = state.fault_lines[code][error]
        self.attributes.update(name for key, name in enumerate(attributes.FIELDS) if state.attribute_keys >> key & 1)
        if state.bad_attributes:
            self.ignored.take(BAD_ATTRIBUTE, state.bad_attribute_line, state.bad_attributes)
        self._name_threads(state.threads)
        if state.strict_stop:
            raise bad.refuse(self.path)
        self._refuse_limits()
        if state.error:
            raise SourceError(f"{self.path}: cannot be read: {os.strerror(state.error)}.", "Check the file.")
        self._source.finish(state.bytes)
        self.truncated = self._source.truncated

    def _bad_lines(self) -> Iterator[BadLine]:
        count = self._c.tk_pipeline_bad_lines(self._handle, None)
        lines = (_native.BadLineStruct * count)()
        self._c.tk_pipeline_bad_lines(self._handle, lines)
        length = self._c.tk_pipeline_bad_texts(self._handle, None)
        texts = c.create_string_buffer(length or 1)
        self._c.tk_pipeline_bad_texts(self._handle, texts)
        raw = texts.raw
        for place, bad in enumerate(lines):
            text = None
            if place < BAD_LINE_TEXTS:
                text = raw[bad.offset : bad.offset + bad.length].decode("utf-8", "replace")[:BAD_LINE_CHARACTERS]
            yield BadLine(bad.line, LINE_CODES[bad.code], text)

    def _name_threads(self, count: int) -> None:
        known = len(self.threads)
        if count <= known:
            return
        ends = np.empty(count - known, np.uint64)
        size = self._c.tk_pipeline_names(self._handle, known, count - known, None, None)
        text = c.create_string_buffer(size)
        self._c.tk_pipeline_names(self._handle, known, count - known, text, ends.ctypes.data)
        raw, start = text.raw, 0
        for end in ends.tolist():
            self.threads.append(raw[start:end].decode("utf-8"))
            start = end
        self._dictionary = strings(self.threads)

    def feed(self, machine: Machine, progress: OnProgress | None = None) -> None:
        if machine.native_handle is None or machine.kept:
            super().feed(machine, progress)
            return
        try:
            self._run(machine.native_handle)
            while not self._c.tk_pipeline_wait(self._handle, PATIENCE):
                self._look()
                self._report(progress)
            self._finish()
            self._report(progress)
        finally:
            self._c.tk_pipeline_stop(self._handle)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        batch = _native.BatchStruct()
        seq = 0
        try:
            self._run(None)
            while (got := self._c.tk_pipeline_next(self._handle, batch, PATIENCE)) >= 0:
                self._look()
                if got:
                    self._note_gaps(batch, seq)
                    seq += batch.events
                    yield self._arrow(batch)
            self._finish()
        finally:
            self._c.tk_pipeline_stop(self._handle)

    def _note_gaps(self, batch: _native.BatchStruct, seq: int) -> None:
        if batch.first_line > self._next_line:  # blocks without an event lay between
            self.line_gaps.append((seq, batch.first_line - self._next_line))
        self._next_line = batch.first_line + batch.lines
        if batch.gap_count:
            gaps = np.ctypeslib.as_array((c.c_uint32 * (2 * batch.gap_count)).from_address(batch.gaps)).tolist()
            self.line_gaps.extend((seq + event, count) for event, count in zip(gaps[::2], gaps[1::2], strict=True))

    def _arrow(self, batch: _native.BatchStruct) -> pa.RecordBatch:
        owner = _Block(self._pipeline, batch.block)
        events = batch.events
        self._name_threads(batch.threads)

        def integers(values: int | None, width: int, nulls: int, valid: int | None) -> pa.Array:
            if nulls < 0:
                return no_integers(events)
            bitmap = pa.foreign_buffer(valid, (events + 7) // 8, owner) if valid and nulls else None
            buffers = [bitmap, pa.foreign_buffer(values, events * width, owner)]
            return pa.Array.from_buffers(_INTEGERS[width], events, buffers, nulls)

        def category(codes: int, width: int, words: pa.Array) -> pa.Array:
            indices = integers(codes, width, 0, None)
            return pa.DictionaryArray.from_arrays(indices, words, safe=False)

        record_batch = pa.RecordBatch.from_arrays(
            [
                category(batch.thread, batch.thread_width, self._dictionary),
                integers(batch.ticks, batch.ticks_width, batch.null_ticks, batch.valid_ticks),
                integers(batch.checks, batch.checks_width, batch.null_checks, batch.valid_checks),
                category(batch.event, 1, event_dictionary()),
                integers(batch.time, batch.time_width, batch.null_time, batch.valid_time),
            ],
            names=BATCH_SCHEMA.names,
        )
        return attributes.with_attributes(record_batch, self._attributes(batch))

    def _attributes(self, batch: _native.BatchStruct) -> dict[str, pa.Array]:
        """Copies of them: there may be few."""
        count = batch.attribute_count
        if not count:
            return {}
        raw = (c.c_char * (count * attributes.SPARSE.itemsize)).from_address(batch.attributes)
        columns = attributes.columns(np.frombuffer(raw, attributes.SPARSE), batch.events)
        if self._whole:
            self._c.tk_pipeline_forget_attributes(batch.block)
        return columns

    def position(self) -> tuple[int, int | None]:
        position = self._source.position()
        return (self._state.bytes, None) if position is None else (position, self._source.size)

    def close(self) -> None:
        self._c.tk_pipeline_stop(self._handle)
        self._source.close()
