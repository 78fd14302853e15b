"""A store that fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from unspool.core.model import Bytes, FileInfo, ListRequest, NamedSpan, Page, Span
from unspool.errors import UnspoolError
from unspool.stores.base import OpenFile, RunSize, SmallFile, Store
from unspool.stores.small import read_one_by_one, read_span_by_span


class FaultyStore:
    """Any store, with faults on demand. Without faults it behaves like the store inside.

    A fault applies to every file, and is used up by the reads that reach it:

        store = FaultyStore(MemoryStore({"a.bin": data}))
        store.fail(DataLossError("a.bin: the disk is broken"), at=1000)   # one read, after 1000 good bytes
        store.pause()                                                     # every read waits, until resume()

    Args:
        inner: the store inside. `aclose` closes it too.

    Attributes:
        reads: the reads so far, as the file's name and the span, in the order in which they began.
        bytes_read: how many bytes the reads returned.
        open_files: how many files are open now.
    """

    def __init__(self, inner: Store) -> None:
        self.reads: list[tuple[str, Span]] = []
        self.bytes_read = 0
        self.open_files = 0
        self._inner = inner
        self._faults: list[_Fault] = []
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        self._somebody_waits = asyncio.Event()

    def pause(self) -> None:
        """Make every read wait before its next run of bytes, as for a slow disk."""
        self._may_go_on.clear()

    def resume(self) -> None:
        """Let the reads continue."""
        self._somebody_waits.clear()
        self._may_go_on.set()

    async def until_paused(self) -> None:
        """Wait until a read is waiting in the pause. Returns at once if one is waiting already."""
        await self._somebody_waits.wait()

    def fail(self, error: UnspoolError, *, at: int | None = None, times: int = 1) -> None:
        """Make the next reads that want byte `at` raise an error there, after they have returned every byte before it.

        Args:
            error: the error to raise.
            at: the byte's offset in the file. None: `stat` and `open` raise the error instead.
            times: how many reads raise it.
        """
        self._faults.append(_Fault(at, times, error))

    def cut_short(self, *, at: int, times: int = 1) -> None:
        """Make the next reads that want byte `at` end before it without an error, which breaks the contract of stores."""
        self._faults.append(_Fault(at, times, None))

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        self._fail_to_open()
        return await self._inner.stat(name)

    async def open(self, name: str, revision: str | None = None) -> OpenFile:
        """See `Store.open`."""
        self._fail_to_open()
        file = _FaultyFile(self, await self._inner.open(name, revision))
        self.open_files += 1
        return file

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """See `Store.read_small`. One file at a time, so that it meets the faults of opening and of reading."""
        return await read_one_by_one(self, names, most_bytes, known)

    async def read_spans(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """See `Store.read_spans`. One span at a time, as above."""
        return await read_span_by_span(self, wanted, most_bytes)

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`. Listings have no faults."""
        return self._inner.list(request)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        await self._inner.aclose()

    def _fail_to_open(self) -> None:
        fault = next((fault for fault in self._faults if fault.at is None), None)
        if fault is not None and fault.error is not None:
            self._use_up(fault)
            raise fault.error

    def _cut_of(self, start: int, stop: int) -> tuple[int, _Fault | None]:
        """Return the offset up to which a run of bytes is returned, and the fault there, if there is one."""
        met = [
            (fault.at, number) for number, fault in enumerate(self._faults) if fault.at is not None and start <= fault.at < stop
        ]
        if not met:
            return stop, None
        at, number = min(met)
        fault = self._faults[number]
        self._use_up(fault)
        return at, fault

    def _use_up(self, fault: _Fault) -> None:
        fault.times -= 1
        if not fault.times:
            self._faults.remove(fault)

    async def _pass_the_pause(self) -> None:
        if not self._may_go_on.is_set():
            self._somebody_waits.set()
            await self._may_go_on.wait()


@dataclass(slots=True, eq=False)
class _Fault:
    """A fault at a byte (None: when the file is opened), and how often it still happens. `error` None: the bytes end there."""

    at: int | None
    times: int
    error: UnspoolError | None


class _FaultyFile:
    """See `OpenFile`."""

    def __init__(self, store: FaultyStore, inner: OpenFile) -> None:
        self._store = store
        self._inner = inner
        self._closed = False

    @property
    def info(self) -> FileInfo:
        """See `OpenFile.info`."""
        return self._inner.info

    async def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[Bytes, None]:
        """See `OpenFile.read`."""
        self._store.reads.append((self.info.name, span))
        position = span.start
        async with aclosing(self._inner.read(span, run_size)) as runs:
            while True:
                await self._store._pass_the_pause()
                data = await anext(runs, None)
                if data is None:
                    return
                end, fault = self._store._cut_of(position, position + len(data))
                if end > position:
                    self._store.bytes_read += end - position
                    yield data[: end - position]
                position = end
                if fault is not None and fault.error is not None:
                    raise fault.error
                if fault is not None:
                    return

    async def steady(self) -> bool:
        """See `OpenFile.steady`."""
        return await self._inner.steady()

    async def aclose(self) -> None:
        """See `OpenFile.aclose`."""
        if not self._closed:
            self._closed = True
            self._store.open_files -= 1
        await self._inner.aclose()
