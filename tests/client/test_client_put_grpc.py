"""Uploads over gRPC to a real server: lost replies and cuts at every message, two writers, a server that stops and starts."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from unspool.client.client import Client
from unspool.client.events import Advanced, Event
from unspool.client.transport import BatchStream, UploadStream
from unspool.core.checksum import crc32c
from unspool.core.retry import RetryPolicy
from unspool.core.uploading import End, NewFile, UploadAnswer, UploadRequest, WrittenFile
from unspool.errors import AlreadyExistsError, TakenOverError, UnreachableError, UnsupportedError
from unspool.ingest.local import LocalIngester
from unspool.options import TransferOptions
from unspool.rpc.transport import GrpcTransport
from unspool.stores import LocalStore, MemoryStore
from unspool.testing import serve

BLOCK = 64 << 10
DATA = Random(9).randbytes(5 * BLOCK + 17)
OPTIONS = TransferOptions(retry=RetryPolicy(first_wait=0.001), block_size=BLOCK)


class Cutting(GrpcTransport):
    """A transport whose connection breaks at one message, counted from 0 over sends and receives of uploads and batches.

    The break comes after the message was sent, or instead of handing out the one that was received: so replies are lost.

    Attributes:
        fired: whether it broke.
    """

    def __init__(self, target: str, at: int, *, sends: bool) -> None:
        super().__init__(target)
        self._left = at
        self._sends = sends
        self.fired = False

    def count(self, *, sends: bool) -> None:
        """Count a message; break at the one."""
        if sends is not self._sends or self.fired:
            return
        self._left -= 1
        if self._left < 0:
            self.fired = True
            raise UnreachableError("the connection broke, as the test says")

    @asynccontextmanager
    async def write(self, name: str) -> AsyncGenerator[CuttingStream, None]:  # type: ignore[override]
        """See `WritingTransport.write`."""
        async with super().write(name) as stream:
            yield CuttingStream(self, stream)

    @asynccontextmanager
    async def write_files(self, *, transfer_id: str = "", attempt: int = 0) -> AsyncGenerator[CuttingBatch, None]:  # type: ignore[override]
        """See `WritingTransport.write_files`."""
        async with super().write_files(transfer_id=transfer_id, attempt=attempt) as stream:
            yield CuttingBatch(self, stream)


class CuttingStream:
    """See `UploadStream`."""

    def __init__(self, transport: Cutting, inner: UploadStream) -> None:
        self._transport = transport
        self._inner = inner
        self.finish = inner.finish

    async def send(self, request: UploadRequest) -> bool:
        """See `UploadStream.send`."""
        sent = await self._inner.send(request)
        self._transport.count(sends=True)
        return sent

    async def receive(self) -> UploadAnswer | End:
        """See `UploadStream.receive`."""
        answer = await self._inner.receive()
        self._transport.count(sends=False)
        return answer


class CuttingBatch:
    """See `BatchStream`."""

    def __init__(self, transport: Cutting, inner: BatchStream) -> None:
        self._transport = transport
        self._inner = inner
        self.finish = inner.finish

    async def send(self, files: Sequence[NewFile]) -> bool:
        """See `BatchStream.send`."""
        sent = await self._inner.send(files)
        self._transport.count(sends=True)
        return sent

    async def receive(self) -> Sequence[WrittenFile] | End:
        """See `BatchStream.receive`."""
        answers = await self._inner.receive()
        self._transport.count(sends=False)
        return answers


@asynccontextmanager
async def taking(root: Path) -> AsyncGenerator[str, None]:
    """Serve a directory that takes files; yields the address."""
    store = LocalStore(root)
    ingester = LocalIngester(root)
    try:
        async with serve(store, ingester=ingester) as address:
            yield address
    finally:
        await ingester.aclose()
        await store.aclose()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that is served."""
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The file to upload."""
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("sends", [True, False])
async def test_a_cut_or_a_lost_reply_at_any_message(root: Path, source: Path, sends: bool) -> None:  # noqa: FBT001
    """The file is whole, it is committed once, and another attempt sends only what the server lacks."""
    at = 0
    async with taking(root) as address:
        while True:
            transport = Cutting(address, at, sends=sends)
            async with Client(transport=transport, options=OPTIONS, upload_key=root.parent / "key") as client:
                name = f"{sends}/{at}"
                result = await client.put(source, name, if_absent=True)
            assert (root / name).read_bytes() == DATA
            assert (result.verified, result.crc32c) == ("file", crc32c(DATA))
            if not transport.fired:
                break
            assert result.bytes_sent <= 2 * len(DATA)
            at += 1
    assert at > (7 if sends else 1)  # an open, six blocks, a commit; and what answers them


@pytest.mark.parametrize("sends", [True, False])
async def test_a_tree_with_a_cut_at_any_message(root: Path, tmp_path: Path, sends: bool) -> None:  # noqa: FBT001
    """All files are whole, whichever message or reply was lost."""
    tree = tmp_path / "tree"
    tree.mkdir()
    files = {f"{number:03}": DATA[: number * 50] for number in range(120)}
    for name, data in files.items():
        (tree / name).write_bytes(data)
    at = 0
    async with taking(root) as address:
        while True:
            transport = Cutting(address, at, sends=sends)
            async with Client(transport=transport, options=OPTIONS) as client:
                result = await client.put_tree(tree, f"{sends}/{at}", if_absent=True)
            assert (result.sent, result.failed) == (120, 0)
            assert {path.name: path.read_bytes() for path in (root / f"{sends}/{at}").iterdir()} == files
            if not transport.fired:
                break
            at += 1
    assert at >= 2


class Pausing:
    """An observer that runs something when an upload has sent so many bytes."""

    def __init__(self, at: int, then: Callable[[], object]) -> None:
        self._at = at
        self._then: Callable[[], object] | None = then

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        if isinstance(event, Advanced) and event.good >= self._at and self._then is not None:
            then, self._then = self._then, None
            then()


async def test_the_newer_of_two_writers_goes_on_and_the_older_is_told(root: Path, source: Path) -> None:
    """Two clients with one key upload one file: the newer one takes it over, and the older one ends with TAKEN_OVER."""
    paused, key = asyncio.Event(), root.parent / "key"
    async with (
        taking(root) as address,
        Client(address, options=OPTIONS, upload_key=key, limit_rate=200_000.0) as older,
        Client(address, options=OPTIONS, upload_key=key) as newer,
    ):
        first = asyncio.create_task(older.put(source, "x", observers=[Pausing(2 * BLOCK, paused.set)]))
        await paused.wait()
        result = await newer.put(source, "x")
        with pytest.raises(TakenOverError):
            await first
    assert (root / "x").read_bytes() == DATA
    assert result.resumed_from > 0


async def test_of_two_that_want_an_absent_file_one_wins(root: Path) -> None:
    """Two files for one name, both only if it is absent: one is there, whole, and the other one is told."""
    async with taking(root) as address, Client(address, options=OPTIONS) as one, Client(address, options=OPTIONS) as other:
        outcomes = await asyncio.gather(
            one.put(io.BytesIO(DATA), "x", if_absent=True),
            other.put(io.BytesIO(DATA[::-1]), "x", if_absent=True),
            return_exceptions=True,
        )
    assert sum(isinstance(outcome, AlreadyExistsError) for outcome in outcomes) == 1
    assert (root / "x").read_bytes() in (DATA, DATA[::-1])


async def test_a_condition_that_changes_between_open_and_commit_keeps_the_bytes(root: Path, source: Path) -> None:
    """The file that appeared meanwhile stays; without the condition the upload is committed, and no byte is sent again."""
    async with taking(root) as address, Client(address, options=OPTIONS, upload_key=root.parent / "key") as client:
        appears = Pausing(5 * BLOCK, lambda: (root / "x").write_bytes(b"other"))
        with pytest.raises(AlreadyExistsError):
            await client.put(source, "x", if_absent=True, observers=[appears])
        assert (root / "x").read_bytes() == b"other"
        result = await client.put(source, "x")
    assert (root / "x").read_bytes() == DATA
    assert (result.bytes_sent, result.resumed_from) == (0, len(DATA))


async def test_a_server_that_takes_no_files_says_so_at_once(source: Path) -> None:
    """No block is sent to a server that only serves, and the error is the server's."""
    async with serve(MemoryStore()) as address, Client(address, options=OPTIONS) as client:
        with pytest.raises(UnsupportedError, match="takes no files"):
            await client.put(source, "x")
        with pytest.raises(UnsupportedError):
            await client.put_tree(source.parent, "x")
