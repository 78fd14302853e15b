"""The conformance check of writing: it passes conforming servers, leaves nothing, and names what is wrong with others."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processes import serving, unspool
from unspool import LocalStore, MemoryStore, Server
from unspool.access import Credentials, Principal
from unspool.core import acceptor
from unspool.core.acceptor import Acceptor
from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, Block, FileInfo
from unspool.core.uploading import NewFile, UploadOpen, UploadRequest, WrittenFile
from unspool.errors import UnspoolError
from unspool.ingest import memory
from unspool.ingest.local import LocalIngester
from unspool.ingest.memory import MemoryIngester, MemoryUpload
from unspool.rpc import status, writewire
from unspool.server import writing
from unspool.testing import serve, writingprobe
from unspool.testing.conformance import check
from unspool.testing.readingpoints import POINTS
from unspool.testing.writingpoints import WRITING_POINTS


async def test_our_server_keeps_to_every_point_of_writing(tmp_path: Path) -> None:
    """The server of unspool passes every point, over a directory and over memory, and no file of the check is left."""
    memory_store, local = MemoryStore(), LocalStore(tmp_path)
    for store, ingester in ((local, LocalIngester(tmp_path)), (memory_store, MemoryIngester(memory_store))):
        async with serve(store, ingester=ingester) as address:
            findings = [finding async for finding in check(address, points=WRITING_POINTS, write="below")]
        assert [finding.point for finding in findings] == list(WRITING_POINTS)
        assert [finding for finding in findings if finding.outcome != "pass"] == []
        await ingester.aclose()
    assert not [path for path in (tmp_path / "below").rglob("*") if path.is_file()]
    assert {path.name for path in (tmp_path / ".unspool-uploads").iterdir()} == {"done", "locks", "small", "storage", "wanted"}
    assert memory_store._files == {}
    await local.aclose()


async def test_a_server_that_wants_a_token_is_checked_with_one() -> None:
    """The token is sent with every kind of call that the check makes, two-way streams too."""

    def authenticate(shown: Credentials) -> Principal | None:
        return Principal(("alice",)) if shown.token == "a-token" else None

    store = MemoryStore({"a.bin": b"bytes"})
    async with Server(store, authenticate=authenticate, ingester=MemoryIngester(store)) as server:
        points = ("list-level", "write-one-message", "write-files")
        findings = [finding async for finding in check(server.address, points=points, write="", token="a-token")]
    assert [(finding.outcome, finding.detail) for finding in findings] == [("pass", "")] * len(points)


def _unchecked(self: Acceptor, block: Block) -> str:
    """Take any block."""
    if block.data:
        self.table.record(replace(block, offset=max(block.offset, 0), crc32c=crc32c(block.data)))
    return "write"


async def _by_status(self: writing.Writing, call: Any, error: UnspoolError) -> None:
    await call.context.abort(*status.encode_error(error))


async def _nothing(*_: object) -> None:
    return None


async def _another(_: object) -> str:
    return secrets.token_hex(4)


async def _backwards(self: MemoryIngester, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
    return [await self._write_small(file) for file in files][::-1]


def _first_part(data: bytes) -> UploadRequest:
    request = _decode(data)
    return UploadRequest(open=request.open) if request.open is not None else request


_decode = writewire.decode_upload_request
_open, _commit, _write, _stored = MemoryIngester.open, MemoryIngester.commit, MemoryUpload.write, MemoryStore.put


async def _shown(self: MemoryUpload, block: Block) -> None:
    await _write(self, block)
    self._ingester._store.put(self._opens.name, bytes(self._staged.data))


async def _never_there(self: MemoryIngester, opens: UploadOpen, owner: str) -> object:
    return await _open(self, replace(opens, crc32c=None), owner)


async def _by_name(self: MemoryIngester, opens: UploadOpen, owner: str) -> object:
    return await _open(self, replace(opens, upload_id=bytes(16)), owner)


async def _forgetful(self: MemoryIngester, opens: UploadOpen, owner: str) -> object:
    self._committed.clear()
    return await _open(self, opens, owner)


async def _keeps_all(self: MemoryIngester, opens: UploadOpen, owner: str) -> object:
    return await _open(self, replace(opens, discard=()), owner)


async def _loses(self: MemoryIngester, key: Any, opens: UploadOpen, size: int) -> FileInfo:
    try:
        return await _commit(self, key, opens, size)
    except UnspoolError:
        self._staged.pop(key)
        raise


async def _ignores(self: MemoryIngester, name: str, revision: str | None = None) -> FileInfo:
    info = self._store._files.get(name, (FileInfo(name, 0, "r"), b""))[0]
    self._store._files.pop(name, None)
    return info


def _reversed(self: MemoryStore, name: str, data: bytes, *rest: Any) -> FileInfo:
    return replace(_stored(self, name, data[::-1], *rest), crc32c=crc32c(data))


def _of_now(self: MemoryStore, name: str, data: bytes, *_: Any) -> FileInfo:
    return _stored(self, name, data, Attributes(1_600_000_000_000_000_000, executable=False))


async def _renamed(self: MemoryIngester, opens: UploadOpen, owner: str) -> object:
    return await _open(self, opens if opens.name.startswith("unspool-conformance") else replace(opens, name="x"), owner)


Broken = tuple[object, str, Callable[..., object], Sequence[str]]

BROKEN: dict[str, Broken] = {
    "other bytes": (MemoryStore, "put", _reversed, ["write", "write-resume"]),
    "one part a message": (writewire, "decode_upload_request", _first_part, ["write-one-message"]),
    "shown early": (MemoryUpload, "write", _shown, ["write-atomic"]),
    "no attributes": (MemoryStore, "put", _of_now, ["write-attributes"]),
    "refused by status": (writing.Writing, "_refuse", _by_status, ["write-first", "write-checksum"]),
    "any id": (writewire, "_check_id", lambda *_: None, ["write-open"]),
    "any name": (MemoryIngester, "open", _renamed, ["write-names"]),
    "any condition": (memory, "check_condition", lambda *_: None, ["write-condition", "write-commit-condition", "write-there"]),
    "any block": (Acceptor, "accept", _unchecked, ["write-block", "write-checksum", "write-gap"]),
    "any commit": (Acceptor, "commit", lambda *_: None, ["write-commit", "write-mismatch"]),
    "nothing discarded": (MemoryIngester, "open", _keeps_all, ["write-mismatch"]),
    "lost at the commit": (MemoryIngester, "commit", _loses, ["write-commit-condition"]),
    "StatUpload knows nothing": (MemoryIngester, "stat", _nothing, ["write-resume", "write-again"]),
    "ids do not count": (MemoryIngester, "open", _by_name, ["write-other-id"]),
    "not taken over": (MemoryIngester, "_take_over", _nothing, ["write-take-over"]),
    "commits forgotten": (MemoryIngester, "open", _forgetful, ["write-again"]),
    "sent again": (MemoryIngester, "open", _never_there, ["write-there"]),
    "not abandoned": (MemoryIngester, "abandon", _nothing, ["write-abandon"]),
    "answers out of order": (MemoryIngester, "write_small", _backwards, ["write-files"]),
    "a storage of many names": (MemoryIngester, "storage", _another, ["storage"]),
    "any revision deleted": (MemoryIngester, "delete", _ignores, ["delete", "delete-missing"]),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_server_that_writes_wrongly_fails_the_right_point(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each violation of section 14 is found by the points that promise otherwise."""
    where, what, instead, points = BROKEN[broken]
    monkeypatch.setattr(where, what, instead)
    monkeypatch.setattr(writingprobe, "_PATIENCE", 2.0)
    store = MemoryStore()
    async with serve(store, ingester=MemoryIngester(store)) as address:
        findings = [finding async for finding in check(address, points=points, write="")]
    assert [(finding.point, finding.outcome) for finding in findings if finding.point in points] == [
        (point, "fail") for point in points
    ], findings


async def test_a_second_open_in_a_stream_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that opens twice in one stream fails that point."""

    def lenient(self: Acceptor, opens: UploadOpen) -> None:
        self._name, self._size, self.state = opens.name, opens.size, acceptor.State.ACCEPTING

    monkeypatch.setattr(Acceptor, "open", lenient)
    store = MemoryStore()
    async with serve(store, ingester=MemoryIngester(store)) as address:
        (finding,) = [finding async for finding in check(address, points=["write-order"], write="")]
    assert (finding.outcome, "opened" in finding.detail) == ("fail", True), finding


def test_every_point_of_writing_is_shown_to_fail() -> None:
    """No point is one that cannot fail."""
    assert {point for _, _, _, points in BROKEN.values() for point in points} | {"write-order"} == set(WRITING_POINTS)


async def test_a_server_that_takes_no_files_fails_them() -> None:
    """Whoever gives a prefix says that the server takes files."""
    async with serve(MemoryStore({"a": b"abc"})) as address:
        findings = [finding async for finding in check(address, points=["write", "stat"], write="x")]
    assert [(finding.point, finding.outcome) for finding in findings] == [("stat", "pass"), ("write", "fail")]
    assert "UNSUPPORTED" in findings[1].detail or "takes no files" in findings[1].detail


def test_the_command_checks_writing(tmp_path: Path) -> None:
    """Against a server in a process of its own: reading alone, and writing with --write; a bad prefix is usage."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(b"hello")
    with serving(root, tmp_path / "log", "--write") as server:
        plain = unspool("conformance", server.address)
        assert (plain.code, plain.lines[-1]) == (0, f"all {len(POINTS)} points hold")
        assert {path.name for path in root.iterdir()} == {"a", ".unspool-uploads"}
        done = unspool("conformance", "--write", "check", server.address)
        assert (done.code, done.lines[-1]) == (0, f"all {len(POINTS) + len(WRITING_POINTS)} points hold"), done.lines
        assert unspool("conformance", "--write", "../x", server.address).code == 2
    with serving(root, tmp_path / "log2") as server:
        refused = unspool("conformance", "--write", "", server.address)
        assert refused.code == 6
        assert "takes no files" in refused.out.decode()
