"""A tree that is uploaded: each file whole or not there, what is there is skipped, and a fault stops no more than it must."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unspool.client.client import Client
from unspool.client.events import Event, FileFailed, TreeAdvanced
from unspool.client.writeresults import PutTreeResult
from unspool.core.model import FileInfo
from unspool.core.retry import RetryPolicy
from unspool.core.uploading import NewFile, WrittenFile
from unspool.errors import (
    AlreadyExistsError,
    InvalidNameError,
    LocalFileError,
    NoSpaceError,
    OverloadedError,
    PermissionDeniedError,
    SourceChangedError,
    UnreachableError,
    UnspoolError,
    UnsupportedError,
)
from unspool.local import walk as walking
from unspool.local.listed import Listed
from unspool.local.walk import Walk, read_small
from unspool.options import MIB, TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock
from unspool.testing.uploads import UploadTransport, _Files

FILES = {f"d{number % 3}/{number:03}": Random(number).randbytes(number * 10) for number in range(250)}
LARGE = {"large.bin": Random(1).randbytes(MIB + 5)}


class Lab:
    """A client that uploads a directory to a server that follows a script; it observes its own uploads."""

    def __init__(self, tmp: Path, script: str = "", *, budget: int = 4, **options: Any) -> None:
        self.root = tmp / "tree"
        if not self.root.exists():
            for name, data in (FILES | LARGE).items():
                self.write(name, data)
        self.key = tmp / "key"
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.options = TransferOptions(retry=RetryPolicy(budget=budget), **options)
        self.transport = UploadTransport(self.store, script, block_size=MIB, segment=MIB, clock=self.clock)

    def write(self, name: str, data: bytes) -> None:
        """Write a local file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def notify(self, event: Event) -> None:
        """See `Observer`."""
        self.events.append(event)

    async def put(self, **arguments: Any) -> PutTreeResult:
        """Upload the tree with a new client, as another process would."""
        client = Client(transport=self.transport, clock=self.clock, random=Random(0), options=self.options, upload_key=self.key)
        return await client.put_tree(self.root, "there", observers=[self], **arguments)

    def there(self) -> dict[str, bytes]:
        """Return what the server has, by name below the prefix."""
        return {name.removeprefix("there/"): data for name, (_, data) in self.store._files.items()}


async def test_a_tree_is_uploaded_and_then_skipped(tmp_path: Path) -> None:
    """The first run sends all, the second nothing, and a third what has changed."""
    lab = Lab(tmp_path)
    first = await lab.put()
    assert lab.there() == FILES | LARGE
    assert (first.files, first.sent, first.kept, first.failed) == (251, 251, 0, 0)
    assert first.size == first.bytes_sent == sum(map(len, (FILES | LARGE).values()))
    last = [event for event in lab.events if isinstance(event, TreeAdvanced)][-1]
    assert (last.files, last.good, last.listed_all) == (251, first.size, True)
    second = await lab.put()
    assert (second.sent, second.kept, second.bytes_sent) == (0, 251, 0)
    lab.write("d0/new", b"new")
    lab.write("d1/001", b"changed\n")
    third = await lab.put()
    assert (third.sent, third.kept) == (2, 250)
    assert lab.there()["d1/001"] == b"changed\n"


async def test_progress_is_told_with_every_message_of_a_batch(tmp_path: Path) -> None:
    """Over a slow connection a batch takes minutes. Progress is told as its files arrive, or it would look stalled."""
    lab = Lab(tmp_path, block_size=10_000, jobs=1)
    (lab.root / "large.bin").unlink()
    await lab.put()
    good = [0, *(event.good for event in lab.events if isinstance(event, TreeAdvanced))]
    assert max(after - before for before, after in pairwise(good)) < 10_000 + max(map(len, FILES.values()))


async def test_what_has_only_another_time_is_compared_and_not_sent(tmp_path: Path) -> None:
    """A checkout or a copy gives files new times. Their bytes are not sent again."""
    lab = Lab(tmp_path)
    await lab.put()
    for name in FILES | LARGE:
        os.utime(lab.root / name, (1, 1))
    again = await lab.put()
    assert (again.sent, again.kept, again.bytes_sent) == (0, 251, 0)


async def test_an_edit_that_hides_is_found_with_checksum(tmp_path: Path) -> None:
    """With the old size and time only `checksum` finds it, and the guide says so."""
    lab = Lab(tmp_path)
    await lab.put()
    path = lab.root / "d1/001"
    before = path.stat()
    path.write_bytes(bytes(10))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (await lab.put()).sent == 0
    assert (await lab.put(checksum=True)).sent == 1
    assert lab.there()["d1/001"] == bytes(10)


@pytest.mark.parametrize("at", [0, 1, 2, 5])
@pytest.mark.parametrize("letter", "xlzreh")
async def test_a_fault_at_a_message_is_survived(tmp_path: Path, letter: str, at: int) -> None:
    """A cut, a lost reply, silence, a busy server: the same call goes on."""
    lab = Lab(tmp_path, "." * at + letter, jobs=1)
    result = await lab.put()
    assert lab.transport.fired == letter
    assert lab.there() == FILES | LARGE
    assert (result.sent, result.failed) == (251, 0)


@settings(max_examples=settings().max_examples // 10)
@given(st.text("..xlzre", max_size=30))
async def test_whatever_happens_each_file_is_whole_or_not_there(tmp_path_factory: pytest.TempPathFactory, script: str) -> None:
    """After any faults no file at the server is a part, and another run makes the tree complete."""
    lab = Lab(tmp_path_factory.mktemp("put"), script, budget=2)
    with suppress(UnspoolError):
        await lab.put()
    assert lab.there().items() <= (FILES | LARGE).items()
    lab.transport._letters = iter("")
    assert (await lab.put()).failed == 0
    assert lab.there() == FILES | LARGE


async def test_a_file_that_fails_stops_no_other(tmp_path: Path) -> None:
    """It is in the result with its error, and observers hear of it."""
    lab = Lab(tmp_path)
    lab.store.put("there/d1/001", b"other bytes")
    result = await lab.put(if_absent=True)
    assert (result.sent, result.failed) == (250, 1)
    (failure,) = result.failures
    assert failure.name == "d1/001"
    assert isinstance(failure.error, AlreadyExistsError)
    assert [event.name for event in lab.events if isinstance(event, FileFailed)] == ["d1/001"]
    assert lab.there()["d1/001"] == b"other bytes"


async def test_a_server_that_is_gone_ends_the_tree(tmp_path: Path) -> None:
    """The budget is spent once, not once for each file."""
    lab = Lab(tmp_path, "x" * 200)
    with pytest.raises(UnreachableError):
        await lab.put()


async def test_a_full_server_ends_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred files that fail for the same reason are one error."""

    def full(_: object, file: NewFile) -> WrittenFile:
        return NoSpaceError(f"{file.name}: no space", name=file.name)

    monkeypatch.setattr("unspool.testing.uploadbook.UploadBook.write_one", full)
    with pytest.raises(NoSpaceError):
        await Lab(tmp_path).put()


async def test_a_busy_server_is_asked_again_and_then_the_files_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of one file that may pass is retried, as often as the budget allows."""
    lab = Lab(tmp_path)
    tries: list[str] = []
    write = lab.transport.book.write_one

    def busy(file: NewFile) -> WrittenFile:
        if file.name != "there/d1/001":
            return write(file)
        tries.append(file.name)
        return OverloadedError("busy", name=file.name)

    monkeypatch.setattr(lab.transport.book, "write_one", busy)
    result = await lab.put()
    assert (result.sent, result.failed) == (250, 1)
    assert len(tries) == 5


@pytest.mark.parametrize(("block_size", "most"), [(None, 2 * MIB), (4096, 4096 + 2500)])
async def test_a_message_has_few_files_and_no_more_bytes_than_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_size: int | None, most: int
) -> None:
    """A message stays below what gRPC takes. Where blocks are to be small, as over a slow connection, it is small too."""
    lab = Lab(tmp_path, block_size=block_size, jobs=1)
    sizes: list[list[int]] = []
    send = _Files.send

    async def count(self: _Files, files: Sequence[NewFile]) -> bool:
        sizes.append([len(file.data) for file in files])
        return await send(self, files)

    monkeypatch.setattr(_Files, "send", count)
    result = await lab.put()
    assert result.sent == 251
    assert max(map(sum, sizes)) < most
    assert max(map(len, sizes)) <= 250
    assert sum(sizes[0]) < MIB // 4 + 2500  # the first one is not waited for


async def test_a_server_that_says_it_wrote_something_else_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer must have the name, the size and the checksum of the file."""
    lab = Lab(tmp_path)
    monkeypatch.setattr(lab.transport.book, "write_one", lambda file: FileInfo(file.name, len(file.data), "r", crc32c=1))
    result = await lab.put()
    assert result.failed == 250


async def test_without_batches_files_go_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older server has only single uploads."""

    def none(*_: object, **__: object) -> None:
        raise UnsupportedError("no batches")

    lab = Lab(tmp_path)
    monkeypatch.setattr(lab.transport, "write_files", none)
    assert (await lab.put()).sent == 251
    assert lab.there() == FILES | LARGE


async def test_who_may_not_list_sends_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that may only write uploads without knowing what is there."""

    async def refused(_: object) -> Any:
        raise PermissionDeniedError("no")
        yield

    lab = Lab(tmp_path)
    monkeypatch.setattr(lab.transport, "list", refused)
    assert (await lab.put()).sent == 251


async def test_filters_choose(tmp_path: Path) -> None:
    """Only what is chosen is uploaded and counted."""
    lab = Lab(tmp_path)
    result = await lab.put(filters=[("exclude", "d*/")])
    assert (result.files, result.sent) == (1, 1)
    assert lab.there() == LARGE


async def test_a_file_that_grows_is_uploaded_as_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was small when it was found and is not any more: its bytes arrive all the same."""
    lab = Lab(tmp_path)
    find = Listed.find

    def grow(self: Listed, names: Sequence[str]) -> dict[str, FileInfo]:
        if "there/d1/001" in names:
            lab.write("d1/001", LARGE["large.bin"])
        return find(self, names)

    monkeypatch.setattr(Listed, "find", grow)
    await lab.put()
    assert lab.there()["d1/001"] == LARGE["large.bin"]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """Links that lead out, nowhere or to a directory, pipes, odd names and unspool's own files."""
    (tmp_path / "tree/dir").mkdir(parents=True)
    (tmp_path / "tree/dir/file").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"x")
    links = {"in": "dir/file", "out": "../secret", "no": "nowhere", "dirlink": "dir"}
    for name, target in links.items():
        (tmp_path / "tree" / name).symlink_to(target)
    os.mkfifo(tmp_path / "tree/pipe")
    (tmp_path / "tree/back\\slash").write_bytes(b"x")
    (tmp_path / "tree/x.unspool-part").write_bytes(b"x")
    walk = Walk(tmp_path / "tree")
    found = walk.some()
    assert sorted(file.name for file in found.files) == ["dir/file", "in"]
    assert sorted((one.reason, one.name) for one in found.omitted) == [
        ("LINK_NOWHERE", "no"),
        ("LINK_OUTSIDE", "out"),
        ("LINK_TO_DIRECTORY", "dirlink"),
        ("NAME", "back\\slash"),
        ("RESERVED", "x.unspool-part"),
        ("SPECIAL", "pipe"),
    ]
    assert not walk.some()


def test_a_walk_that_goes_ahead_finds_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found ahead comes first and nothing twice, and only so much is kept in memory."""
    monkeypatch.setattr(walking, "AT_ONCE", 2)
    monkeypatch.setattr(walking, "_MOST_AHEAD", 3)
    for number in range(11):
        (tmp_path / str(number)).touch()
    walk, plain = Walk(tmp_path), Walk(tmp_path)
    for _ in range(9):
        walk.ahead()
    assert len(walk._ahead) == 3
    found = []
    while some := walk.some():
        found += [file.name for file in some.files]
        walk.ahead()
    walk.ahead()
    assert not walk.some()
    assert found == [file.name for _ in range(6) for file in plain.some().files]


class _Asked(UploadTransport):
    """Answers whoever asks whether a hidden name is taken.

    Attributes:
        refusal: the answer.
        asked: the names.
    """

    refusal: UnspoolError | None = None

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.asked: list[str] = []

    async def abandon_upload(self, upload_id: bytes, name: str) -> None:
        """See `WritingTransport.abandon_upload`."""
        self.asked.append(name)
        if self.refusal is not None:
            raise self.refusal


async def test_the_server_is_asked_once_whether_it_takes_dotfiles(tmp_path: Path) -> None:
    """Only if there are any, and before a byte of them is sent. A server that does not say so is tried with the files."""
    lab = Lab(tmp_path)
    lab.transport = asked = _Asked(lab.store, "", block_size=MIB, segment=MIB, clock=lab.clock)
    await lab.put()
    assert asked.asked == []
    for number in range(2000):
        lab.write(f"many/.{number}", b"x")
    asked.refusal = InvalidNameError("would not be served")
    result = await lab.put()
    assert len(asked.asked) == 1
    assert (result.failed, result.sent, sum(one.count for one in result.omitted)) == (0, 0, 2000)
    assert {one.reason for one in result.omitted} == {"HIDDEN"}
    for refusal in (None, UnsupportedError("no such call"), PermissionDeniedError("may not")):
        lab.write("many/.new", b"y")
        asked.refusal = refusal
        result = await lab.put(filters=[("include", ".new")])
        assert (result.sent + result.kept, result.omitted) == (1, ())
    asked.refusal = UnreachableError("gone")
    with pytest.raises(UnreachableError):
        await lab.put()


def test_a_directory_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """At the top it is one error for all."""
    (tmp_path / "file").write_bytes(b"")
    for name in ("none", "file"):
        with pytest.raises(LocalFileError, match=name):
            Walk(tmp_path / name)


def test_a_small_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are of one moment; if it always changes, it fails."""
    path = tmp_path / "a"
    path.write_bytes(b"bytes")
    changes = iter([False, False, False, True])
    monkeypatch.setattr("unspool.local.walk.unchanged", lambda *_: next(changes))
    with pytest.raises(SourceChangedError):
        read_small(str(path), 10)
    content = read_small(str(path), 10)
    assert content is not None
    assert content.data == b"bytes"
    assert read_small(str(path), 4) is None


def test_a_directory_below_that_cannot_be_read_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that lacks a directory is not complete: the others are found, and this one is named."""
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "bad":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = Walk(tmp_path).some()
    assert [file.name for file in found.files] == ["good/file"]
    assert [failure.name for failure in found.failures] == ["bad/"]
    assert "bad: cannot be read" in found.failures[0].error.message


def test_what_is_no_small_file_any_more_cannot_be_read(tmp_path: Path) -> None:
    """A file that vanished, and one that became a pipe: one error each, and nothing hangs."""
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("none", "no such file"), ("pipe", "not a regular file any more")):
        with pytest.raises(LocalFileError, match=said):
            read_small(str(tmp_path / name), 10)


async def test_a_file_that_vanishes_is_a_failure_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one and a large one that are gone when they are to be read: the others are uploaded."""
    lab = Lab(tmp_path)
    find = Listed.find

    def vanish(self: Listed, names: Sequence[str]) -> dict[str, FileInfo]:
        for name in {"there/d1/001", "there/large.bin"}.intersection(names):
            (lab.root / name.removeprefix("there/")).unlink()
        return find(self, names)

    monkeypatch.setattr(Listed, "find", vanish)
    result = await lab.put()
    assert sorted(failure.name for failure in result.failures) == ["d1/001", "large.bin"]
    assert (result.sent, result.failed) == (249, 2)
