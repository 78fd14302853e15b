"""Helpers of the tests of trees: a destination, files in memory, and a transport that can make faults."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from client.lab import Wrapper
from unspool.client.client import Client
from unspool.client.events import Event
from unspool.client.transport import Transport
from unspool.client.treeresults import TreeResult
from unspool.core.model import Attributes, BatchRequest, FileInfo, Frame, ListRequest, Page, Piece, ReadRequest
from unspool.core.reserved import HOME
from unspool.core.retry import RetryPolicy
from unspool.errors import UnspoolError
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, FaultyTransport, StoreTransport

E = TypeVar("E")

MODIFIED = 1_600_000_000_123_456_789
"""When every file in memory was last changed."""

FILES = {
    "a.txt": b"alpha",
    "empty": b"",
    "sub/b.bin": Random(1).randbytes(3000),
    "sub/deeper/c": b"c" * 700,
    "sub/deeper/d": b"d",
    "z/big.bin": Random(2).randbytes((1 << 20) + 5),
}
"""A tree with some of everything: one of them is too large for a batch."""


class TreeLab:
    """A client of files in memory, which fetches trees and observes that.

    Attributes:
        faulty: what makes faults, by the script.
        events: what trees told.

    Args:
        files: what the server has.
        script: see `FaultyTransport`; `v` makes the first of the files another one.
        budget: of retries.
        options: see `TransferOptions`; one job, so that what happens happens in one order.
    """

    def __init__(self, files: Mapping[str, bytes] = FILES, script: str = "", *, budget: int = 10, **options: Any) -> None:
        self.store = MemoryStore(files)
        self.clock = FakeClock()
        self.faulty = FaultyTransport(Dated(StoreTransport(self.store)), script, clock=self.clock, change=self.change)
        self.options = TransferOptions(retry=RetryPolicy(budget=budget), **{"jobs": 1, **options})
        self.events: list[Event] = []

    def change(self) -> None:
        """Make the first file another one."""
        self.store.put(next(iter(FILES)), b"changed")

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self.events.append(event)

    def told(self, kind: type[E]) -> list[E]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def get(self, destination: Path, prefix: str = "", transport: Transport | None = None) -> TreeResult:
        """Fetch the tree."""
        client = Client(transport=transport or self.faulty, clock=self.clock, random=Random(0), options=self.options)
        return await client.get_tree(prefix, destination, observers=[self])


class Dated(Wrapper):
    """A server that knows when its files were changed."""

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        async with aclosing(self.inner.list(request)) as pages:
            async for page in pages:
                yield replace(page, files=tuple(replace(info, attributes=Attributes(MODIFIED)) for info in page.files))


class Listing(Wrapper):
    """A server that lists what it is told to, and then breaks if it is told that."""

    def __init__(self, inner: Transport, infos: Iterable[FileInfo], page_size: int = 1000) -> None:
        super().__init__(inner)
        self.infos = list(infos)
        self.page_size = page_size

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Transport.list`."""
        for at in range(0, len(self.infos), self.page_size):
            yield Page(files=tuple(self.infos[at : at + self.page_size]))


class Tampering(Wrapper):
    """A server, or something between, that changes what is read: override `tamper`."""

    def tamper(self, name: str, frame: Frame) -> Frame | None:
        """Return the frame as it is to arrive; None if it is not to."""
        return frame

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async with aclosing(self.inner.read(request)) as frames:
            async for frame in frames:
                if (passed := self.tamper(request.name, frame)) is not None:
                    yield passed

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        async with aclosing(self.inner.read_files(request)) as messages:
            async for pieces in messages:
                come = []
                for piece in pieces:
                    frame = self.tamper(request.files[piece.index].name, piece.frame) if piece.frame else None
                    if piece.error is not None or frame is not None:
                        come.append(replace(piece, frame=frame))
                yield tuple(come)


class Batchless(Wrapper):
    """A server that answers no batch but with an error; `asked` is how many it was asked for."""

    def __init__(self, inner: Transport, error: UnspoolError) -> None:
        super().__init__(inner)
        self.error = error
        self.asked = 0

    async def read_files(self, request: BatchRequest) -> AsyncGenerator[Sequence[Piece], None]:
        """See `Transport.read_files`."""
        self.asked += 1
        raise self.error
        yield ()


def files_in(directory: Path) -> dict[str, bytes]:
    """Return all files below a directory but for the tree's own, by name."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if not path.is_dir() and HOME not in path.parts
    }


def own_files_in(directory: Path) -> list[str]:
    """Return what unspool keeps below a directory."""
    return sorted(path.name for path in (directory / HOME).iterdir())


def infos_of(files: Mapping[str, bytes], store: MemoryStore) -> list[FileInfo]:
    """Return how a store lists these files."""
    return [store._files[name][0] for name in files]
