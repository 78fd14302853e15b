"""DeleteFile at a server: what goes, what stays, who may, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from server.test_audit import Audit
from unspool import Client, LocalStore, MemoryStore, Server
from unspool.core.access import Principal, Right, Verdict
from unspool.core.rules import parse_rules
from unspool.core.uploading import DeleteRequest
from unspool.errors import (
    FileChangedError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnspoolError,
    UnsupportedError,
)
from unspool.ingest.local import LocalIngester
from unspool.ingest.memory import MemoryIngester
from unspool.rpc import deletewire, wire
from unspool.server.report import CallEnd
from unspool.testing import serve

MIB = 1 << 20

RULES = """
[[rule]]
prefix = "a"
who = ["@anyone"]
may = ["list", "read", "delete"]

[[rule]]
prefix = "b"
who = ["@anyone"]
may = ["list", "read", "write"]
"""


class Ends:
    """Keeps how calls ended."""

    def __init__(self) -> None:
        self.told: list[CallEnd] = []

    def notify(self, event: CallEnd) -> None:
        """See `CallObserver`."""
        self.told.append(event)


async def test_a_file_is_deleted_over_the_wire(tmp_path: Path) -> None:
    """The file is gone from the directory, and the answer is what StatFile said of it."""
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/a").write_bytes(b"abc")
    store, ingester = LocalStore(tmp_path), LocalIngester(tmp_path)
    async with serve(store, ingester=ingester) as address, Client(address) as client:
        info = await client.stat("dir/a")
        with pytest.raises(FileChangedError):
            await client.delete("dir/a", if_revision="another")
        assert await client.delete("dir/a", if_revision=info.revision) == info
        assert list((tmp_path / "dir").iterdir()) == []
        for name in ("dir/a", "dir"):
            with pytest.raises(NotFoundError):
                await client.delete(name)
    await ingester.aclose()
    await store.aclose()


async def test_a_server_that_only_serves_deletes_nothing() -> None:
    """Without an ingester the method is not there, whatever the rules say."""
    store = MemoryStore({"a/1": b"1"})
    rules = parse_rules(RULES, "rules")
    async with Server(store, authorize=rules) as server, Client(server.address) as client:
        for name in ("a/1", "never"):
            with pytest.raises(UnsupportedError, match="takes no files"):
                await client.delete(name)
    assert store.revision_of("a/1")


async def test_the_right_to_delete_is_a_right_of_its_own() -> None:
    """Who may write may not delete, and the other way round; the audit has each decision, with the revision that went."""
    store, audit = MemoryStore({"a/1": b"1", "b/1": b"1"}), Audit(grants=True)
    revision = store.revision_of("a/1")
    async with (
        Server(store, authorize=parse_rules(RULES, "rules"), ingester=MemoryIngester(store), audit=audit) as server,
        Client(server.address) as client,
    ):
        deleted = await client.delete("a/1")
        assert deleted is not None
        with pytest.raises(UnauthenticatedError, match="may delete this"):
            await client.delete("b/1")
        with pytest.raises(UnauthenticatedError):
            await client.put(Path(__file__), "a/2")
        await client.put(Path(__file__), "b/2")
    told = [(one.name, one.revision, one.verdict, one.rule) for one in audit.told if one.method == "DeleteFile"]
    assert told == [("a/1", revision, "granted", "rules:2"), ("b/1", None, "denied", "rules:7")]


async def test_what_may_not_be_deleted_does_not_exist() -> None:
    """A denial does not tell whether there is such a file, at whatever revision is asked for."""
    store = MemoryStore({"there": b"1"})
    asked: list[tuple[Right, str]] = []

    def nobody(_: Principal | None, right: Right, name: str) -> Verdict:
        asked.append((right, name))
        return Verdict(allowed=False)

    who = Principal(("alice",))
    async with Server(store, authenticate=lambda _: who, authorize=nobody, ingester=MemoryIngester(store)) as server:
        said = set()
        async with Client(server.address) as client:
            for name in ("there", "gone!"):
                for revision in (None, store.revision_of("there"), "another"):
                    with pytest.raises(PermissionDeniedError) as caught:
                        await client.delete(name, if_revision=revision)
                    said.add(str(caught.value).replace(name, "NAME"))
    assert len(said) == 1
    assert {right for right, _ in asked} == {"delete"}
    assert store.revision_of("there")


async def test_a_name_that_is_none_is_refused_by_the_server() -> None:
    """Whatever the client checks, the server does, too."""
    store = MemoryStore({"a": b"1"})
    async with serve(store, ingester=MemoryIngester(store)) as address, grpc.aio.insecure_channel(address) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{wire.SERVICE}/DeleteFile")
        for name in ("", "../a", "a/", "/a"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(deletewire.encode_delete_request(DeleteRequest(name)))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert store.revision_of("a")


async def test_deletions_are_reported() -> None:
    """The log and observers have the name, the outcome, and the client's number of the attempt."""
    store, ends = MemoryStore({"a": b"1"}), Ends()
    async with serve(store, ingester=MemoryIngester(store), observers=[ends]) as address, Client(address) as client:
        await client.delete("a")
        with pytest.raises(UnspoolError):
            await client.delete("a")
    assert [(one.method, one.name, one.outcome, one.attempt) for one in ends.told] == [
        ("DeleteFile", "a", "OK", 1),
        ("DeleteFile", "a", "FILE_NOT_FOUND", 1),
    ]
    assert all(one.transfer_id for one in ends.told)


async def test_a_read_that_runs_goes_on(tmp_path: Path) -> None:
    """Whoever reads a file when it is deleted gets all of it; who goes on with it after that is told it is not found."""
    data = bytes(range(256)) * (MIB // 16)
    (tmp_path / "a").write_bytes(data)
    store, ingester = LocalStore(tmp_path), LocalIngester(tmp_path)
    async with serve(store, ingester=ingester) as address, Client(address) as client:
        async with client.open("a") as reading:
            parts = [await anext(aiter(reading))]
            await client.delete("a")
            parts += [bytes(part) async for part in reading]
            assert reading.info is not None
            revision = reading.info.revision
        assert b"".join(parts) == data
        with pytest.raises(NotFoundError):
            await client.read("a", start=MIB, revision=revision)
    await ingester.aclose()
    await store.aclose()
