"""An upload, with faults from a script: the whole file or nothing, resumed, and each of its bytes sent as rarely as may be."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.lab import content
from unspool.client.client import Client
from unspool.client.events import Event, Repairing, Restarting, Retrying, Started, TransferEnded
from unspool.client.writeresults import PutResult
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo, Span
from unspool.core.retry import RetryPolicy
from unspool.core.uploading import UploadRequest
from unspool.errors import (
    AlreadyExistsError,
    BlockCorruptError,
    FileChangedError,
    FileKeepsChangingError,
    FileMismatchError,
    InvalidRequestError,
    LocalFileError,
    OverloadedError,
    PermissionDeniedError,
    ProtocolError,
    SourceChangedError,
    StalledError,
    TakenOverError,
    TransferError,
    TruncatedError,
    UnreachableError,
    UnsupportedError,
)
from unspool.local.source import FileSource
from unspool.options import TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, StoreTransport
from unspool.testing.uploadbook import Staged
from unspool.testing.uploads import LETTERS, UploadTransport, _Stream

E = TypeVar("E")

NAME = "dir/a.bin"
BLOCK = 100
DATA = content(10 * BLOCK + 1)
"""Eleven blocks: with the open and the commit, thirteen messages."""

OTHER = content(10 * BLOCK + 1, seed=1)


class Lab:
    """A client that uploads a file to a server that follows a script; it observes its own uploads."""

    def __init__(self, tmp: Path, script: str = "", data: bytes = DATA, *, budget: int = 10, **options: Any) -> None:
        self.path = tmp / "a.bin"
        if not self.path.exists():
            self.path.write_bytes(data)
        self.key = tmp / "key"
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.options = TransferOptions(retry=RetryPolicy(budget=budget), **options)
        self.transport = UploadTransport(self.store, script, block_size=BLOCK, clock=self.clock, change=self.change)

    def change(self) -> None:
        """Edit the local file."""
        self.path.write_bytes(OTHER)
        os.utime(self.path, ns=(7, 7))

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self.events.append(event)

    def told(self, kind: type[E]) -> list[E]:
        """Return the events of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    async def put(self, source: object = None, **arguments: Any) -> PutResult:
        """Upload the file with a new client, as another process would."""
        client = Client(transport=self.transport, clock=self.clock, random=Random(0), options=self.options, upload_key=self.key)
        return await client.put(source or self.path, NAME, observers=[self], **arguments)  # type: ignore[arg-type]

    def there(self) -> bytes | None:
        """Return the bytes of the file at the server."""
        return self.store._find(NAME)[1] if self.store.revision_of(NAME) else None

    def blocks(self) -> list[int]:
        """Return the offsets of the blocks that the server has seen."""
        return [request.block.offset for request in self.transport.requests if request.block is not None]

    def opens(self) -> int:
        """Return how many streams the server has seen."""
        return sum(request.open is not None for request in self.transport.requests)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, len(DATA)])
async def test_a_file_is_uploaded_whole(tmp_path: Path, size: int) -> None:
    """The server has the bytes, their time and executable bit; the result says what was sent and verified."""
    lab = Lab(tmp_path, data=DATA[:size])
    os.utime(lab.path, ns=(5, 1_700_000_000_123_456_789))
    lab.path.chmod(0o755)
    result = await lab.put()
    info = await lab.store.stat(NAME)
    assert lab.there() == DATA[:size]
    assert (info.attributes.modified_ns, info.attributes.executable) == (1_700_000_000_123_456_789, True)
    assert result == PutResult(
        name=NAME,
        path=str(lab.path),
        size=size,
        revision=info.revision,
        verified="file",
        crc32c=crc32c(DATA[:size]),
        bytes_sent=size,
        resumed_from=0,
        attempts=1,  # it has asked what is there, too
        restarts=0,
        seconds=0.0,
        servers={lab.transport.source: size} if size else {},
    )
    assert lab.told(Started) == [Started(NAME, size, 0, lab.events[-1].transfer)]
    ended = lab.told(TransferEnded)[-1]
    assert (ended.call, ended.outcome, ended.bytes_sent) == ("put", "OK", size)


@pytest.mark.parametrize("at", range(13))
@pytest.mark.parametrize("letter", "xlzrfeh")
async def test_a_fault_at_any_message_is_survived(tmp_path: Path, letter: str, at: int) -> None:
    """A cut, a lost reply, silence, a refusal, a restart, an early end: the same call goes on, and sends little twice."""
    lab = Lab(tmp_path, "." * at + letter)
    result = await lab.put()
    assert lab.transport.fired == letter
    assert lab.there() == DATA
    assert result.verified == "file"
    twice = len(lab.blocks()) - len(set(lab.blocks()))
    assert twice <= (3 if letter == "f" else 0)  # what a restart forgets is at most what was not synced
    assert len(lab.told(Retrying)) == (0 if letter == "h" else 1)


@settings(max_examples=settings().max_examples // 5)
@given(st.lists(st.sampled_from([letter for letter in LETTERS if letter not in "tw"]), max_size=40))
async def test_whatever_happens_the_file_is_whole_or_not_there(
    tmp_path_factory: pytest.TempPathFactory, letters: list[str]
) -> None:
    """After any faults the name has the whole file or nothing, and another call goes on to the end."""
    lab = Lab(tmp_path_factory.mktemp("put"), "".join(letters), budget=4)
    try:
        await lab.put()
    except (TransferError, FileMismatchError, FileKeepsChangingError, BlockCorruptError):
        assert lab.there() in (None, DATA)
        lab.transport._letters = iter("")
        await lab.put()
    assert lab.there() == DATA


async def test_another_process_goes_on_where_the_first_one_was_killed(tmp_path: Path) -> None:
    """With the same key another client finds the upload, and sends only what the server lacks."""
    lab = Lab(tmp_path, "......x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.put()
    assert lab.there() is None
    result = await lab.put()
    assert result.resumed_from == 5 * BLOCK
    assert result.bytes_sent == len(DATA) - 5 * BLOCK
    assert lab.blocks() == [at * BLOCK for at in range(11)]
    assert lab.there() == DATA


async def test_without_the_key_nobody_goes_on_with_it(tmp_path: Path) -> None:
    """Another key is another upload, and so is one without `resume`."""
    lab = Lab(tmp_path, "......x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.put()
    lab.key = tmp_path / "other"
    assert (await lab.put()).resumed_from == 0
    assert (await lab.put(options=TransferOptions(resume=False))).already_there


async def test_an_edited_source_costs_no_byte_and_makes_no_splice(tmp_path: Path) -> None:
    """If the file was edited and given its old time, what the server has of it is discarded before anything is sent."""
    lab = Lab(tmp_path, "......x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.put()
    before = lab.path.stat()
    lab.path.write_bytes(OTHER)
    os.utime(lab.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = await lab.put()
    assert lab.there() == OTHER
    assert (result.resumed_from, result.restarts, result.bytes_sent) == (0, 1, len(OTHER))
    assert len(lab.told(Restarting)) == 1


async def test_a_server_that_keeps_lying_about_what_it_has_is_given_up(tmp_path: Path) -> None:
    """Wrong checksums again and again end in an error, not in an endless loop."""
    lab = Lab(tmp_path, "......x" + "g" * 50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Staged, "discard", lambda *_: None)
        with pytest.raises(FileKeepsChangingError, match="not those of the file"):
            await lab.put()


async def test_a_source_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    """Nothing is committed, and the server is told to remove what it has."""
    lab = Lab(tmp_path, "....w")
    with pytest.raises(SourceChangedError):
        await lab.put()
    assert lab.there() is None
    assert len(lab.transport.abandoned) == 1


async def test_a_source_that_changes_between_attempts_is_an_error(tmp_path: Path) -> None:
    """A change while the server is away is noticed, too."""
    lab = Lab(tmp_path, "....xw")
    with pytest.raises(SourceChangedError):
        await lab.put()
    assert lab.there() is None


async def test_only_the_segments_that_differ_are_sent_again(tmp_path: Path) -> None:
    """If the whole differs at the commit, the damaged segment is sent again, and no other."""
    lab = Lab(tmp_path, "....d")
    result = await lab.put()
    assert lab.there() == DATA
    assert lab.blocks() == [*(at * BLOCK for at in range(11)), 2 * BLOCK, 3 * BLOCK]
    assert lab.told(Repairing)[0].bad == 2 * BLOCK
    assert result.bytes_sent == len(DATA) + 2 * BLOCK


async def test_a_second_mismatch_is_an_error(tmp_path: Path) -> None:
    """A disk that damages again what is sent again is not tried for ever."""
    lab = Lab(tmp_path, "....d" + "." * 8 + ".d")
    with pytest.raises(FileMismatchError):
        await lab.put()
    assert lab.transport.fired == "dd"
    assert lab.there() is None


async def test_a_corrupt_block_is_sent_again(tmp_path: Path) -> None:
    """A block that was damaged on the way is refused, and the upload goes on from there."""
    lab = Lab(tmp_path, "...!")
    await lab.put()
    assert lab.transport.fired == "!"
    assert lab.there() == DATA


async def test_an_upload_that_was_taken_over_is_not_retried(tmp_path: Path) -> None:
    """Another process has it: two that retry would take it from each other for ever."""
    lab = Lab(tmp_path, "....t")
    with pytest.raises(TakenOverError):
        await lab.put()
    assert lab.opens() == 1


async def test_a_server_that_is_busy_for_long_is_given_up(tmp_path: Path) -> None:
    """Refusals without progress use up the budget."""
    lab = Lab(tmp_path, "r" * 10, budget=3)
    with pytest.raises(OverloadedError):
        await lab.put()
    assert len(lab.told(Retrying)) == 2


async def test_progress_renews_the_budget(tmp_path: Path) -> None:
    """A connection that breaks after every second block is no reason to give up."""
    lab = Lab(tmp_path, "..x" * 20, budget=2)
    await lab.put()
    assert lab.there() == DATA


async def test_what_outlives_a_killed_server_renews_the_budget(tmp_path: Path) -> None:
    """A server that is killed each time before it has as much as it once had, but keeps more each time, is not given up."""
    lab = Lab(tmp_path, "..w......f" + "..wf" * 8, budget=2)
    book = lab.transport.book
    book.sync = len(DATA)  # not told

    def sync() -> None:
        for staged in book._staged.values():
            staged.durable = staged.received

    lab.transport._change = sync
    await lab.put()
    assert (lab.there(), lab.transport.fired) == (DATA, "wf" * 9)


async def test_a_server_that_keeps_nothing_is_given_up(tmp_path: Path) -> None:
    """Bytes that a server loses every time are no progress."""
    lab = Lab(tmp_path, "..f" * 9, budget=3)
    lab.transport.book.sync = len(DATA)
    with pytest.raises(UnreachableError):
        await lab.put()
    assert lab.opens() == 4


async def test_a_silent_server_is_noticed(tmp_path: Path) -> None:
    """Without an answer the attempt ends after the idle timeout."""
    lab = Lab(tmp_path, "z" * 9, budget=1, idle_timeout=7.0)
    with pytest.raises(StalledError, match="nothing for 7 s"):
        await lab.put()
    assert sum(lab.clock.slept) == pytest.approx(7.0, abs=0.5)


async def test_an_early_end_is_not_success(tmp_path: Path) -> None:
    """A stream that ends with OK before the file was committed was cut."""
    lab = Lab(tmp_path, "." * 12 + "e", budget=0)
    with pytest.raises(TruncatedError):
        await lab.put()
    assert lab.there() is None


# What is at the name already


async def test_the_same_bytes_are_not_sent(tmp_path: Path) -> None:
    """If the server has the file already, no block is sent, whatever its time is."""
    lab = Lab(tmp_path)
    lab.store.put(NAME, DATA)
    result = await lab.put()
    assert (result.already_there, result.bytes_sent, result.verified) == (True, 0, "file")
    assert lab.blocks() == []


async def test_other_bytes_of_the_same_size_are_replaced(tmp_path: Path) -> None:
    """An equal size confirms nothing."""
    lab = Lab(tmp_path)
    lab.store.put(NAME, OTHER)
    assert not (await lab.put()).already_there
    assert lab.there() == DATA


async def test_a_file_that_was_replaced_in_between_is_uploaded_again(tmp_path: Path) -> None:
    """The server remembers that the upload was committed. That is no reason to leave another file at the name."""
    lab = Lab(tmp_path)
    await lab.put()
    for data in (OTHER, b"short"):
        lab.store.put(NAME, data)
        result = await lab.put()
        assert not result.already_there
        assert lab.there() == DATA
    lab.store.remove(NAME)
    await lab.put()
    assert lab.there() == DATA


async def test_a_committed_upload_of_an_edited_file_is_not_taken_for_it(tmp_path: Path) -> None:
    """The same id, but other bytes: the file is uploaded under another id."""
    lab = Lab(tmp_path)
    await lab.put()
    before = lab.path.stat()
    lab.path.write_bytes(OTHER)
    os.utime(lab.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    await lab.put()
    assert lab.there() == OTHER


async def test_a_server_that_says_committed_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers that each upload is committed, and shows another file at the name: the call ends."""
    lab = Lab(tmp_path)
    await lab.put()
    asked: list[str] = []

    async def stat(name: str) -> FileInfo:
        asked.append(name)
        assert len(asked) < 100
        return FileInfo(name, len(DATA), "another")

    monkeypatch.setattr(lab.transport, "stat", stat)
    with pytest.raises(ProtocolError, match="says that it has committed it"):
        await lab.put()


async def test_a_lost_reply_to_the_commit_is_no_second_upload(tmp_path: Path) -> None:
    """The commit is answered again, in this call and in the next one, and nothing is sent twice."""
    lab = Lab(tmp_path, "." * 12 + "l")
    result = await lab.put()
    assert (result.bytes_sent, result.already_there) == (len(DATA), False)
    lab = Lab(tmp_path, "." * 12 + "l", budget=0)
    with pytest.raises(UnreachableError):
        await lab.put()
    revision = lab.store.revision_of(NAME)
    result = await lab.put()
    assert (result.already_there, result.revision) == (True, revision)
    assert len(lab.blocks()) == 11


# Conditions


async def test_if_absent(tmp_path: Path) -> None:
    """The file is written if there is none, and an existing one stays."""
    lab = Lab(tmp_path)
    await lab.put(if_absent=True)
    lab.store.put(NAME, OTHER)
    with pytest.raises(AlreadyExistsError):
        await Lab.put(lab, if_absent=True, options=TransferOptions(resume=False))
    assert lab.there() == OTHER


async def test_if_revision(tmp_path: Path) -> None:
    """The file is replaced if it is at the revision, and stays otherwise; the condition holds in every attempt."""
    lab = Lab(tmp_path, "....x")
    revision = lab.store.put(NAME, OTHER).revision
    await lab.put(if_revision=revision)
    assert lab.there() == DATA
    lab.path.write_bytes(b"third")
    with pytest.raises(FileChangedError):
        await lab.put(if_revision=revision)
    assert lab.there() == DATA
    opens = [request.open for request in lab.transport.requests if request.open is not None]
    assert {one.condition.revision for one in opens} == {revision}


async def test_conditions_exclude_each_other(tmp_path: Path) -> None:
    """A file cannot be absent and at a revision."""
    with pytest.raises(InvalidRequestError, match="exclude each other"):
        await Lab(tmp_path).put(if_absent=True, if_revision="r")


# Streams


async def test_a_stream_is_uploaded(tmp_path: Path) -> None:
    """The size is told at the end, and the server has the bytes."""
    lab = Lab(tmp_path)
    result = await lab.put(io.BytesIO(DATA))
    assert lab.there() == DATA
    assert (result.path, result.size, result.verified, result.bytes_sent) == (None, len(DATA), "file", len(DATA))
    assert lab.transport.requests[0].open is not None
    assert lab.transport.requests[0].open.size is None


@pytest.mark.parametrize("at", range(13))
@pytest.mark.parametrize("letter", "xlzf")
async def test_a_stream_goes_on_from_what_is_remembered(tmp_path: Path, letter: str, at: int) -> None:
    """A fault within the call is survived: the bytes that the server lacks are still in memory."""
    lab = Lab(tmp_path, "." * at + letter)
    await lab.put(io.BytesIO(DATA))
    assert lab.transport.fired == letter
    assert lab.there() == DATA


async def test_a_stream_that_cannot_go_on_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server has lost more than is remembered, the error says that a stream cannot be read again."""
    monkeypatch.setattr("unspool.local.streamsource.StreamSource.__init__.__defaults__", (2 * BLOCK,))
    lab = Lab(tmp_path, "........f")
    lab.transport.book.sync = 10_000
    with pytest.raises(TransferError, match="cannot be read again"):
        await lab.put(io.BytesIO(DATA))
    assert lab.there() is None
    assert len(lab.transport.abandoned) == 1


async def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """No such file, a text file: an error before the server is asked."""
    lab = Lab(tmp_path)
    with pytest.raises(LocalFileError, match="no such file"):
        await lab.put(tmp_path / "none")
    with pytest.raises(InvalidRequestError, match="mode 'rb'"):
        await lab.put(io.StringIO("text"))
    assert not lab.transport.requests


async def test_a_dialect_without_uploads_says_so(tmp_path: Path) -> None:
    """A transport that only reads is an error that names it."""
    lab = Lab(tmp_path)
    client = Client(transport=StoreTransport(lab.store), clock=lab.clock)
    with pytest.raises(UnsupportedError, match="no uploads"):
        await client.put(lab.path, NAME)


async def test_a_limit_on_the_rate_is_kept_and_progress_is_told(tmp_path: Path) -> None:
    """A limit on the rate slows the upload down, and progress is told in bytes."""
    lab = Lab(tmp_path)
    said: list[tuple[int, int | None]] = []
    client = Client(transport=lab.transport, clock=lab.clock, limit_rate=1000.0)
    await client.put(lab.path, NAME, progress=lambda done, total: said.append((done, total)))
    assert said[0] == (0, len(DATA))
    assert said[-1] == (len(DATA), len(DATA))
    assert lab.clock.now == pytest.approx((len(DATA) - 250 - BLOCK) / 1000, abs=0.2)
    assert all(request != UploadRequest() for request in lab.transport.requests)


async def test_a_server_that_only_says_that_it_is_alive_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit, heartbeats alone are a stall."""
    lab = Lab(tmp_path, budget=0, heartbeat_limit=12.0)

    async def beat(_: object) -> None:
        await lab.clock.sleep(5.0)

    monkeypatch.setattr("unspool.testing.uploads._Stream.receive", beat)
    with pytest.raises(StalledError, match="only said that it is alive"):
        await lab.put()
    assert lab.clock.now == pytest.approx(15.0)


async def test_while_the_disk_is_slow_the_client_says_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that takes long is bridged with heartbeats: here it waits for one."""
    lab = Lab(tmp_path)
    beaten = threading.Event()
    send, read = _Stream.send, FileSource.read

    async def watch(self: _Stream, request: UploadRequest) -> bool:
        if request == UploadRequest():
            beaten.set()
        return await send(self, request)

    def slow(self: FileSource, span: Span) -> Block:
        assert beaten.wait(30)
        return read(self, span)

    monkeypatch.setattr(_Stream, "send", watch)
    monkeypatch.setattr(FileSource, "read", slow)
    monkeypatch.setattr(FileSource, "read_at_once", lambda *_: None)
    monkeypatch.setattr("unspool.client.uploadstream._HEARTBEAT", 0.001)
    await Client(transport=lab.transport).put(lab.path, NAME)
    assert lab.there() == DATA


async def test_who_may_only_write_believes_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to read, what is at the name is not known, and a commit is answered again."""

    async def denied(_: str) -> FileInfo:
        raise PermissionDeniedError("write only")

    lab = Lab(tmp_path)
    monkeypatch.setattr(lab.transport, "stat", denied)
    assert not (await lab.put()).already_there
    assert (await lab.put()).already_there
    assert len(lab.blocks()) == 11


async def test_an_error_after_the_commit_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that breaks when the file is committed is no reason to fail, or to try again."""
    lab = Lab(tmp_path)
    write = lab.transport.write

    @asynccontextmanager
    async def broken(name: str) -> AsyncGenerator[_Stream, None]:
        async with write(name) as stream:
            yield stream
        raise UnreachableError("broke at the end")

    monkeypatch.setattr(lab.transport, "write", broken)
    assert (await lab.put()).bytes_sent == len(DATA)
    assert lab.opens() == 1
