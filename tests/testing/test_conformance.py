"""The conformance check: it passes conforming servers, and names what is wrong with others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from unspool import LocalStore, MemoryStore
from unspool.core.model import Attributes, BatchRequest, FileInfo, ListRequest, Omission, Page, Piece, WantedFile
from unspool.errors import NotFoundError, VerificationError
from unspool.rpc import batchwire
from unspool.stores.memory import _MemoryFile
from unspool.testing import serve
from unspool.testing.conformance import check
from unspool.testing.faultserver import FaultServer
from unspool.testing.http2 import Http2Connection
from unspool.testing.readingpoints import POINTS
from unspool.v1 import file_service_pb2 as pb

DATA = Random(0).randbytes(300_000)


async def test_our_server_keeps_to_every_point(tmp_path: Path) -> None:
    """The server of unspool passes every point, over a directory and over memory."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(DATA)
    (tmp_path / "g").write_bytes(b"hello")
    (tmp_path / "e").mkdir()
    (tmp_path / "nowhere").symlink_to("nothing")
    local = LocalStore(tmp_path)
    for store in (local, MemoryStore({"d/f": DATA, "g": b"hello"})):
        async with serve(store) as address:
            findings = [finding async for finding in check(address)]
        assert [finding.point for finding in findings] == list(POINTS)
        assert [finding for finding in findings if finding.outcome != "pass"] == []
    await local.aclose()


@pytest.mark.parametrize(
    ("fault", "point"),
    [
        ("flip@0", "checksums"),
        ("flip@0", "whole"),
        ("flip@0", "sha256"),
        ("flipsum@0", "checksums"),
        ("offset@1", "blocks"),
        ("duplicate@0", "blocks"),
        ("swap@0", "blocks"),
        ("short@0", "blocks"),
        ("long@0", "blocks"),
        ("end@end", "summary"),
        ("ignore@start", "start"),
        ("ignore@start", "start-past-end"),
        ("revision@start", "same"),
        ("garbage@start", "header"),
        ("status:UNAVAILABLE@status", "summary"),
        ("flip@0", "batch"),
        ("offset@0", "batch"),
        ("swap@0", "batch"),
        ("short@0", "batch"),
        ("end@end", "batch"),
        ("end@status", "batch"),
        ("garbage@start", "batch"),
        ("end@start", "batch-errors"),
        ("status:UNAVAILABLE@end", "batch-sizes"),
        ("short@0", "batch-start"),
        ("end@end", "batch-start"),
        ("end@status", "batch-unless"),
        ("short@0", "batch-length"),
    ],
)
async def test_a_broken_server_fails_the_right_point(fault: str, point: str) -> None:
    """Each violation of the protocol is found by its point."""
    async with FaultServer(MemoryStore({"f": DATA}), block_size=65536) as server:
        server.default = server.script(*[fault] * 50)
        (finding,) = [finding async for finding in check(server.address, points=[point])]
        assert server.fired(server.default)
    assert finding.outcome == "fail", finding


class Listing(MemoryStore):
    """Files in memory, with listings that are wrong in one way."""

    def __init__(self, wrong: str) -> None:
        super().__init__({"d/f": DATA})
        self._wrong = wrong

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`."""
        if (self._wrong == "list-empty" and not request.prefix) or (
            self._wrong == "list-slash" and request.prefix.endswith("/")
        ):
            raise NotFoundError("no such prefix")
        if self._wrong == "list-names":
            yield Page(files=(FileInfo("d\\f", 1, "r1"),))
        if self._wrong == "list-not-found" and request.prefix not in ("", "d", "d/f"):
            yield Page(files=(FileInfo("d/f", 1, "r1"),))
        async for page in super().list(request):
            yield page

    async def open(self, name: str, revision: str | None = None) -> _MemoryFile:
        """See `Store.open`."""
        return await super().open(name, None if self._wrong == "which-error" else revision)


@pytest.mark.parametrize("point", ["list-empty", "list-slash", "list-names", "list-not-found", "which-error"])
async def test_a_server_that_lists_wrong_fails_the_right_point(point: str) -> None:
    """A store that answers a prefix, a name or a revision wrongly is found by the point for it."""
    async with serve(Listing("")) as address:
        (finding,) = [finding async for finding in check(address, "d/f", points=[point])]
    assert finding.outcome == "pass", finding
    async with serve(Listing(point)) as address:
        (finding,) = [finding async for finding in check(address, "d/f", points=[point])]
    assert finding.outcome == "fail", finding


class Forgetful(MemoryStore):
    """A store whose `stat` omits attributes that its open files have."""

    def __init__(self, forgets: str) -> None:
        super().__init__()
        self.forgets = forgets
        self.put("f", DATA, Attributes(1_000_000_007, executable=True))

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        info = await super().stat(name)
        return replace(info, attributes=replace(info.attributes, **{self.forgets: None}))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("forgets", ["modified_ns", "executable"])
async def test_a_server_that_tells_attributes_in_one_place_only_is_found_out(forgets: str) -> None:
    """StatFile must report the modification time and the executable bit of the header."""
    async with serve(Forgetful(forgets)) as address:
        (finding,) = [finding async for finding in check(address, points=["attributes"])]
    assert finding.outcome == "fail"
    assert forgets.removesuffix("_ns") in finding.detail


class Untidy(MemoryStore):
    """A store that lists a directory with a file as empty, or a directory without its slash."""

    def __init__(self, prefix: str) -> None:
        super().__init__({"d/f": DATA})
        self.prefix = prefix

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`."""
        yield Page(prefixes=(self.prefix,))
        async for page in super().list(request):
            yield page


@pytest.mark.parametrize("prefix", ["d/", "e"])
async def test_a_recursive_listing_with_other_prefixes_than_empty_directories_is_found_out(prefix: str) -> None:
    """The prefixes of a recursive listing must be empty directories and end in a slash."""
    async with serve(Untidy(prefix)) as address:
        (finding,) = [finding async for finding in check(address, "d/f", points=["list"])]
    assert finding.outcome == "fail"


@pytest.mark.parametrize(
    "omitted",
    [
        [Omission("", "a")],
        [Omission("SPECIAL", "a", 2)],
        [Omission("SPECIAL", count=-1)],
        [Omission("SPECIAL", "f")],
        [Omission("SPECIAL", f"{number}") for number in range(101)],
    ],
    ids=["no reason", "several", "negative", "listed", "too many"],
)
async def test_a_server_that_tells_of_omissions_in_another_way_is_found_out(omitted: list[Omission]) -> None:
    """Each rule about omissions is checked."""

    class Omitting(MemoryStore):
        async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
            async for page in super().list(request):
                yield replace(page, omitted=tuple(omitted))

    async with serve(Omitting({"f": DATA})) as address:
        (finding,) = [finding async for finding in check(address, points=["list-omitted"])]
    assert finding.outcome == "fail"


class WithoutBatches(FaultServer):
    """A server of an earlier version."""

    async def _answer(self, connection: Http2Connection, stream: int, headers: dict[str, str], body: bytes) -> None:
        if headers[":path"].endswith("/ReadFiles"):
            headers = {**headers, ":path": "/nothing"}
        await super()._answer(connection, stream, headers, body)


async def test_a_server_without_batches_is_not_broken() -> None:
    """Points for methods that a server does not have are skipped, by name; all other points are checked."""
    async with WithoutBatches(MemoryStore({"f": DATA})) as server:
        findings = [finding async for finding in check(server.address)]
    skipped = {finding.point: finding.detail for finding in findings if finding.outcome == "skip"}
    assert set(skipped) == {
        "batch",
        "batch-errors",
        "batch-sizes",
        "batch-start",
        "batch-unless",
        "batch-length",
        "batch-packs",
    }
    assert set(skipped.values()) == {"the server has no ReadFiles"}


def _broken(pack: pb.FilePack, fault: str) -> None:
    match fault:
        case "bytes":
            pack.data = pack.data[:-1] + bytes([pack.data[-1] ^ 1])
        case "checksum":
            pack.crc32c[-1] ^= 1
        case "size":
            pack.sizes[-1] -= 1
        case "file":
            pack.first += 1


@pytest.mark.parametrize("fault", ["bytes", "checksum", "size", "file", "unasked"])
async def test_a_server_with_broken_packs_fails_their_point(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack with other bytes, checksums, sizes or files, or one that was not asked for, is found."""
    encode = batchwire.encode_pieces

    def encoded(pieces: Sequence[Piece], request: BatchRequest | None = None) -> bytes:
        if request is not None and fault == "unasked":
            request = replace(request, packs=True)
        message = pb.ReadFilesResponse.FromString(encode(pieces, request))
        if message.HasField("pack"):
            _broken(message.pack, fault)
        return message.SerializeToString()

    monkeypatch.setattr(batchwire, "encode_pieces", encoded)
    async with serve(MemoryStore({"f": DATA})) as address:
        (finding,) = [finding async for finding in check(address, points=["batch-packs"])]
    assert finding.outcome == "fail"


@pytest.mark.parametrize("point", ["batch-start", "batch-unless", "batch-length"])
async def test_a_server_that_ignores_newer_fields_is_not_broken(point: str) -> None:
    """For a server from before starts in batches, which sends whole files, these points are skipped, with the reason."""
    async with FaultServer(MemoryStore({"f": DATA})) as server:
        plain = [finding async for finding in check(server.address, points=[point])]
        answers = batchwire.decode_batch_request

        def older(data: bytes) -> BatchRequest:
            request = answers(data)
            return replace(request, files=tuple(WantedFile(file.name, file.revision) for file in request.files))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batchwire, "decode_batch_request", older)
            (finding,) = [finding async for finding in check(server.address, points=[point])]
    assert [finding.outcome for finding in plain] == ["pass"]
    assert (finding.outcome, "the server does not know" in finding.detail) == ("skip", True)


async def test_what_cannot_be_checked_is_said() -> None:
    """A server without a file to read is reported neither as conforming nor as broken."""
    async with serve(MemoryStore({"one": b"1"})) as address:
        with pytest.raises(VerificationError, match=r"\(name=\)"):
            _ = [finding async for finding in check(address)]
