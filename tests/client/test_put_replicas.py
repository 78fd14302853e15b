"""Writing to several servers: it goes on at another one if they share a storage, and is refused if they do not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from client.lab import content
from unspool.client.client import Client
from unspool.client.events import Retrying
from unspool.client.replicas import ReplicaConnections, Route
from unspool.client.storages import writable
from unspool.client.transfer import Transfer
from unspool.core.model import FileInfo
from unspool.core.replicas import Replicas
from unspool.core.retry import RetryPolicy
from unspool.core.uploading import DeleteRequest
from unspool.errors import (
    AlreadyExistsError,
    ConnectError,
    FileChangedError,
    NotFoundError,
    PermissionDeniedError,
    StalledError,
    UnreachableError,
    UnspoolError,
    UnsupportedError,
)
from unspool.options import MIB, TransferOptions
from unspool.stores import MemoryStore
from unspool.testing import FakeClock, Recorder, StoreTransport
from unspool.testing.uploads import UploadTransport

NAME = "dir/a.bin"
BLOCK = 100
DATA = content(10 * BLOCK + 1)


class Replica(UploadTransport):
    """A server that can be gone, or not answer about its storage, and counts what it was asked for."""

    error: UnspoolError | None = None
    silent = False
    asked = 0
    deletions = 0

    async def storage(self, name: str, *, deletes: bool = False) -> str:
        """See `WritingTransport.storage`."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.silent:
            await self.stall()
        return await super().storage(name, deletes=deletes)

    async def delete(self, request: DeleteRequest) -> FileInfo:
        """See `WritingTransport.delete`."""
        self.deletions += 1
        return await super().delete(request)


class Set:
    """Servers `a:1`, `b:1`, ..., each with a script, of one storage at first; and a client."""

    def __init__(self, *scripts: str, block_size: int = BLOCK, budget: int = 4) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.servers = {
            f"{letter}:1": Replica(self.store, script, block_size=block_size, clock=self.clock)
            for letter, script in zip("abc", scripts, strict=False)
        }
        self.a, self.b, *_ = self.servers.values()
        for server in self.servers.values():
            server.book, server.storage_id = self.a.book, "one"
        self.retries = Recorder[Any]()
        options = TransferOptions(retry=RetryPolicy(budget=budget))
        connections = ReplicaConnections(",".join(self.servers), Replicas(self.servers), self.servers.__getitem__)
        self.client = Client(
            transport=connections, clock=self.clock, random=Random(0), options=options, observers=[self.retries]
        )

    def there(self, name: str = NAME) -> bytes | None:
        """Return what the storage has at a name."""
        return self.store._find(name)[1] if self.store.revision_of(name) else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file to upload."""
    (tmp_path / "a.bin").write_bytes(DATA)
    return tmp_path / "a.bin"


@pytest.mark.parametrize("fault", "xlzreg!")
@pytest.mark.parametrize("source", ["path", "stream"])
async def test_an_upload_goes_on_at_another_server(path: Path, fault: str, source: str) -> None:
    """After a fault in mid-stream another server takes the rest, at once; the result says what each was sent."""
    servers = Set("....." + fault, "")
    result = await servers.client.put(path if source == "path" else io.BytesIO(DATA), NAME)
    assert servers.there() == DATA
    if fault in servers.a.fired:
        assert list(result.servers) == ["a:1", "b:1"]
        assert [event.wait for event in servers.retries if isinstance(event, Retrying)] == [0.0]
    assert sum(result.servers.values()) == result.bytes_sent < len(DATA) + 3 * BLOCK
    assert servers.b.asked == 1


async def test_a_lost_answer_to_the_commit_is_found_at_another_server(path: Path) -> None:
    """The second server says that the upload is committed, and no byte is sent again."""
    servers = Set("." * 12 + "l", "")
    result = await servers.client.put(path, NAME, if_absent=True)
    assert (result.bytes_sent, result.servers) == (len(DATA), {"a:1": len(DATA)})
    assert servers.there() == DATA


@pytest.mark.parametrize(
    "call",
    [
        lambda client, path: client.put(path, NAME),
        lambda client, path: client.put(io.BytesIO(b"x"), NAME),
        lambda client, path: client.put_tree(path.parent, "dir"),
        lambda client, path: client.delete("kept"),
        lambda client, path: client.delete_tree("kept"),
    ],
    ids=["put", "stream", "put_tree", "delete", "delete_tree"],
)
@pytest.mark.parametrize("apart", ["elsewhere", "read only", "other dialect"])
async def test_servers_that_do_not_share_a_storage_are_refused(path: Path, call: Callable[..., Any], apart: str) -> None:
    """Nothing is written to any of them, nor deleted, and the error names the one that does not fit."""
    servers = Set("", "", "")
    servers.store.put("kept", b"kept")
    match apart:
        case "elsewhere":
            servers.b.storage_id, said = "two", "[abc]:1 and [abc]:1 do not write to the same storage"
        case "read only":
            servers.b.error, said = (
                UnsupportedError("this server takes no files"),
                "b:1: this server takes no files; of several",
            )
        case _:
            servers.servers["b:1"] = StoreTransport(servers.store)  # type: ignore[assignment]  # that is what is wrong
            said = "b:1: .*this dialect has no uploads"
    with pytest.raises(UnsupportedError, match=said):
        await call(servers.client, path)
    assert servers.there("kept") == b"kept"
    assert servers.there() is None
    assert [len(server.requests) for server in (servers.a, servers.b)] == [0, 0]


async def test_a_server_that_cannot_be_reached_is_asked_before_it_is_used(path: Path) -> None:
    """It does not count until then. If it turns out to write elsewhere, it gets nothing, and the upload ends with an error."""
    servers = Set("....xxxx", "")
    servers.b.error, servers.b.storage_id = ConnectError("b:1: nobody listens"), "two"
    first = await servers.client.put(io.BytesIO(b"first"), "first")
    assert first.servers == {"a:1": 5}
    servers.b.error = None
    with pytest.raises(UnsupportedError, match="b:1 and a:1 do not write to the same storage"):
        await servers.client.put(path, NAME)
    assert servers.b.requests == []
    assert servers.there() is None


async def test_a_silent_server_is_waited_for_for_two_seconds(path: Path) -> None:
    """One that does not answer delays the first write of a client by so much, and is passed by."""
    servers = Set("", "")

    servers.b.silent = True
    result = await servers.client.put(path, NAME)
    assert result.servers == {"a:1": len(DATA)}
    assert servers.clock.monotonic() == pytest.approx(2.0)


async def test_servers_that_were_restarted_with_another_storage_are_asked_again(path: Path) -> None:
    """What a server has said counts until it fails; if two differ then, the others are asked again before it is an error."""
    servers = Set("", "....x")
    await servers.client.put(io.BytesIO(b"first"), "first")
    for server in servers.servers.values():
        server.storage_id = "two"
    assert len((await servers.client.put(path, NAME)).servers) == 2
    assert servers.there() == DATA
    await servers.clock.sleep(5.0)  # until then the failed one is asked last
    for number in range(2):
        await servers.client.put(io.BytesIO(b"%d" % number), f"again-{number}")
    assert (servers.a.asked, servers.b.asked) == (2, 2 + 1)


async def test_an_answer_about_a_name_is_the_answer_of_all(path: Path) -> None:
    """With one storage no other server is asked for what one of them does not have, or has at another revision."""
    servers = Set("", "", "")
    await servers.client.put(path, NAME)
    with pytest.raises(AlreadyExistsError):
        await servers.client.put(io.BytesIO(b"x"), NAME, if_absent=True)
    with pytest.raises(FileChangedError):
        await servers.client.put(io.BytesIO(b"x"), NAME, if_revision="other")
    with pytest.raises(FileChangedError):
        await servers.client.delete(NAME, if_revision="other")
    with pytest.raises(NotFoundError):
        await servers.client.delete("nothing")
    assert sum(server.deletions for server in servers.servers.values()) == 2


async def test_a_file_whose_deletion_lost_its_answer_is_gone_at_another_server() -> None:
    """The second server does not find it, which is success; but not if the first one was not even asked to delete it."""
    servers = Set("l", "")
    servers.store.put(NAME, DATA)
    assert await servers.client.delete(NAME) is None
    servers = Set("", "")
    servers.a.error = UnreachableError("the connection broke")
    with pytest.raises(NotFoundError):
        await servers.client.delete(NAME)


async def test_a_tree_goes_on_at_another_server(tmp_path: Path) -> None:
    """Batches and large files whose server fails go to the next; all are there, and the result says what each was sent."""
    root = tmp_path / "tree"
    root.mkdir()
    files = {f"{number:03}": content(number * 10, number) for number in range(120)} | {"large": content(MIB + 5)}
    for name, data in files.items():
        (root / name).write_bytes(data)
    servers = Set("l...x.", ".x..l", "", block_size=MIB)
    result = await servers.client.put_tree(root, "there", options=TransferOptions(jobs=2))
    assert (result.sent + result.kept, result.failed) == (len(files), 0)
    assert {name: servers.there(f"there/{name}") for name in files} == files
    assert sum(result.servers.values()) == result.bytes_sent
    deleted = await servers.client.delete_tree("there")
    assert (deleted.deleted, deleted.failed) == (len(files), 0)


async def test_who_may_not_ask_is_told_so(path: Path) -> None:
    """A server that refuses the caller is an error of the upload, as if there were only one."""
    servers = Set("", "")
    servers.a.error = servers.b.error = PermissionDeniedError("alice may not write this")
    with pytest.raises(PermissionDeniedError, match="alice may not write this"):
        await servers.client.put(path, NAME)


async def test_a_server_that_never_answers_is_left_after_the_idle_timeout(path: Path) -> None:
    """The question is part of the attempt: it stalls, and the next server gets the file."""
    servers = Set("", "")

    servers.a.silent = True
    result = await servers.client.put(path, NAME)
    assert result.servers == {"b:1": len(DATA)}
    assert any(isinstance(event, Retrying) and isinstance(event.error, StalledError) for event in servers.retries)


async def test_an_address_that_a_host_does_not_have_any_more_gets_nothing() -> None:
    """If the addresses were looked up again between the beginning of an attempt and its first message, it fails."""
    servers = Set("", "")
    transfer = Transfer(servers.client._seams, servers.client.options, servers.retries)
    assert isinstance(transfer.route, Route)
    await transfer.route.begin()
    connections = servers.client._seams.transport
    assert isinstance(connections, ReplicaConnections)
    connections.replicas.know(["b:1"])
    with pytest.raises(UnreachableError, match="a:1: is not an address of the host any more"):
        await writable(transfer, NAME)
