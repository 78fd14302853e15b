"""The set-up of the client's tests: one file in a store, a transport that follows a script, and a clock that never waits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from unspool.client.client import Client
from unspool.client.events import Event
from unspool.client.results import Result
from unspool.client.transport import Transport
from unspool.core.model import BatchRequest, FileInfo, Frame, ListRequest, Page, Piece, ReadRequest
from unspool.core.retry import RetryPolicy
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.stores.base import Store
from unspool.testing import FakeClock, FaultyTransport, StoreTransport

E = TypeVar("E")

NAME = "dir/a.bin"
BLOCK = 100
"""Bytes per block: small, because these tests are about the edges of blocks."""


def content(size: int, seed: int = 0) -> bytes:
    """Return bytes that differ at every offset."""
    return Random(seed).randbytes(size)


DATA = content(10 * BLOCK + 1)
"""Eleven frames."""

NEW = content(9 * BLOCK, seed=1)
"""The file's bytes after it has changed."""


class Lab:
    """A client whose transport follows a script; it observes its own downloads.

    Attributes:
        events: the events of downloads.

    Args:
        script: see `FaultyTransport`; `v` changes the file to `NEW`.
        store: where the bytes come from; a new one with `DATA` by default.
        within: wraps the transport to the store.
        budget: of retries.
        options: see `TransferOptions`.
    """

    def __init__(self, script: str = "", *, store: Store | None = None, budget: int = 10, **options: Any) -> None:
        self.store = store if store is not None else MemoryStore({NAME: DATA})
        self.clock = FakeClock()
        self.transport = FaultyTransport(StoreTransport(self.store), script, clock=self.clock, change=self.change)
        self.options = TransferOptions(block_size=BLOCK, retry=RetryPolicy(budget=budget), **options)
        self.client = self.client_of(self.transport)
        self.events: list[Event] = []

    def client_of(self, transport: Transport) -> Client:
        """Return a client like the lab's own, with another transport."""
        return Client(transport=transport, clock=self.clock, random=Random(0), options=self.options)

    def change(self, data: bytes = NEW) -> None:
        """Change the file."""
        assert isinstance(self.store, MemoryStore)
        self.store.put(NAME, data)

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self.events.append(event)

    def told(self, kind: type[E]) -> list[E]:
        """Return the events of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def transfer_id(self) -> str:
        """The id of the last transfer in its events."""
        last = self.events[-1].transfer
        assert last
        return last

    async def get(self, destination: Path, client: Client | None = None) -> Result:
        """Download the file."""
        return await (client or self.client).get(NAME, destination, observers=[self])

    @property
    def starts(self) -> list[int]:
        """The first bytes of the requested reads."""
        return [request.start for request in self.transport.requests]


class Wrapper:
    """A transport around another one; subclasses override some methods."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    @property
    def source(self) -> str:
        """See `Transport.source`."""
        return self.inner.source

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        return await self.inner.stat(name)

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        return self.inner.list(request)

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async with aclosing(self.inner.read(request)) as frames:
            async for frame in frames:
                yield frame

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        async with aclosing(self.inner.read_files(request)) as messages:
            async for message in messages:
                yield message

    def renew(self, window: int | None = None) -> None:
        """See `Transport.renew`."""
        self.inner.renew(window)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self.inner.aclose()


class WithoutChecksum(Wrapper):
    """A server without checksums of whole files, or with a wrong one for the first `lies` reads to the end of a file."""

    def __init__(self, inner: Transport, lies: int = 0, *, knows: bool = False) -> None:
        super().__init__(inner)
        self.lies = lies
        self.knows = knows

    async def stat(self, name: str) -> FileInfo:
        """See `Transport.stat`."""
        return replace(await self.inner.stat(name), crc32c=None)

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async with aclosing(self.inner.read(request)) as frames:
            async for frame in frames:
                yield self.through(frame)

    def through(self, frame: Frame) -> Frame:
        """Return a frame without the checksum, or with a wrong one."""
        if frame.header is not None and frame.header.info is not None:
            frame = replace(frame, header=replace(frame.header, info=replace(frame.header.info, crc32c=None)))
        if frame.summary is None or frame.summary.crc32c is None:
            return frame
        checksum = frame.summary.crc32c if self.knows else None
        if frame.summary.at_end and self.lies:
            self.lies -= 1
            checksum = frame.summary.crc32c ^ 1
        return replace(frame, summary=replace(frame.summary, crc32c=checksum))


def names_in(directory: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(path.name for path in directory.iterdir())


PART, JOURNAL = "b.bin.unspool-part", "b.bin.unspool-journal"
"""The names that an unfinished download to `b.bin` leaves."""
