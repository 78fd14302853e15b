"""Several replicas over real connections: trees, streams, names with several addresses, TLS."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from authority import Authority
from stores.fakes3 import fake_s3
from stores.objectservers import s3_store
from unspool.client.client import Client
from unspool.client.events import AttemptBegan, Event
from unspool.client.security import addresses_of
from unspool.errors import ConnectError, TlsError
from unspool.options import LimitOptions, ServerOptions, TransferOptions
from unspool.server.server import Server
from unspool.stores import LocalStore, open_store
from unspool.stores.objects import ObjectStore
from unspool.testing import serve

FILES = {f"{number:03}": Random(number).randbytes(number * 40) for number in range(200)}


@asynccontextmanager
async def replicas(root: Path, number: int = 3, options: ServerOptions | None = None) -> AsyncGenerator[list[str], None]:
    """Serve a directory with several servers; yields their addresses."""
    async with AsyncExitStack() as stack:
        store = LocalStore(root)
        stack.push_async_callback(store.aclose)
        yield [await stack.enter_async_context(serve(store, options)) for _ in range(number)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory to serve: many small files, and a large one."""
    root = tmp_path / "root"
    root.mkdir()
    for name, data in FILES.items():
        (root / name).write_bytes(data)
    return root


async def test_a_tree_comes_from_all_replicas(root: Path, tmp_path: Path) -> None:
    """Batches of small files are spread over the replicas, and every file is whole."""
    for number in range(12):
        with (root / f"large-{number}").open("wb") as file:
            file.truncate(5 << 20)
    async with replicas(root) as addresses, Client(",".join(addresses)) as client:
        result = await client.get_tree("", tmp_path / "here")
    assert (result.fetched, result.failed) == (len(FILES) + 12, 0)
    assert all((tmp_path / "here" / name).read_bytes() == data for name, data in FILES.items())
    assert set(result.servers) == set(addresses)
    assert sum(result.servers.values()) == result.bytes_received == result.size


async def test_a_tree_outlives_a_replica(root: Path, tmp_path: Path) -> None:
    """A replica that is gone in the middle of a tree costs no file, and all are whole."""
    for number in range(8):
        (root / f"large-{number}").write_bytes(Random(number).randbytes(5 << 20))
    limits = ServerOptions(limits=LimitOptions(stream_bandwidth=8 << 20))
    async with AsyncExitStack() as stack:
        store = LocalStore(root)
        stack.push_async_callback(store.aclose)
        mortal = Server(store, options=limits)
        addresses = [await mortal.start(), *[await stack.enter_async_context(serve(store, limits)) for _ in range(2)]]
        client = await stack.enter_async_context(Client(",".join(addresses)))
        getting = asyncio.create_task(client.get_tree("", tmp_path / "here"))
        while not any(path.stat().st_size for path in tmp_path.glob("here/*.unspool-part")):
            await asyncio.sleep(0.01)
        await mortal.stop(0)
        result = await getting
    assert (result.failed, result.fetched) == (0, len(FILES) + 8)
    assert all((tmp_path / "here" / path.name).read_bytes() == path.read_bytes() for path in root.iterdir())


async def test_the_certificate_of_a_replica_is_for_the_name_of_the_host(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `unspools://dns:///HOST` the client connects to addresses, and accepts certificates for HOST only."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("server", "files.example")

    async def getaddrinfo(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with aclosing(LocalStore(root)) as store, Server(store, cert=pair.cert, key=pair.key) as server:
        port = server.address.rpartition(":")[2]
        async with Client(f"unspools://dns:///files.example:{port}", ca=authority.file) as client:
            assert (await client.stat("100")).size == 4000
        async with Client(f"unspools://dns:///other.example:{port}", ca=authority.file) as client:
            with pytest.raises(TlsError, match=r"is for files\.example, not for other\.example"):
                await client.stat("100")


async def test_streams_of_one_file_come_from_all_replicas(root: Path, tmp_path: Path) -> None:
    """With three streams each replica sends a part of the file."""
    with (root / "large").open("wb") as file:
        file.truncate(96 << 20)
    limits = ServerOptions(limits=LimitOptions(stream_bandwidth=64 << 20))  # so that no stream is done before another begins
    async with replicas(root, options=limits) as addresses, Client(",".join(addresses)) as client:
        result = await client.get("large", tmp_path / "here", options=TransferOptions(jobs=3))
    assert set(result.servers) == set(addresses)
    assert result.bytes_received == sum(result.servers.values()) == 96 << 20


async def test_a_file_that_a_replica_has_not_yet_is_fetched_from_another(root: Path, tmp_path: Path) -> None:
    """The files of a tree that changed at the replica of their batch come from one that has the listed revision."""
    behind = tmp_path / "behind"
    behind.mkdir()
    for name in FILES:
        (behind / name).write_bytes(b"old")
    async with AsyncExitStack() as stack:
        new, old = (LocalStore(one, revision_of=lambda status: f"{status.st_size}") for one in (root, behind))
        addresses = [await stack.enter_async_context(serve(store)) for store in (new, old)]
        stack.push_async_callback(new.aclose)
        stack.push_async_callback(old.aclose)
        client = await stack.enter_async_context(Client(",".join(addresses)))
        result = await client.get_tree("", tmp_path / "here", options=TransferOptions(jobs=1))
    # The listing came from one of them, and all files are of that revision.
    assert result.failed == 0
    found = {name: (tmp_path / "here" / name).read_bytes() for name in FILES}
    assert found == FILES
    assert result.without == (addresses[1],)


async def test_copies_of_a_directory_are_replicas(root: Path, tmp_path: Path) -> None:
    """With revisions made of the content, a file comes from both of two copies; without, one of them has another revision."""
    large = Random(7).randbytes(48 << 20)
    (root / "large").write_bytes(large)
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, copy_function=shutil.copy)  # without the times
    limits = ServerOptions(limits=LimitOptions(stream_bandwidth=96 << 20))
    for revision, parts in (("content", 2), ("stat", 1)):
        async with AsyncExitStack() as stack:
            addresses = []
            for one in (root, copy):
                store = open_store(str(one), revision=revision)  # type: ignore[arg-type]  # as it is
                stack.push_async_callback(store.aclose)
                addresses.append(await stack.enter_async_context(serve(store, limits)))
            client = await stack.enter_async_context(Client(",".join(addresses)))
            result = await client.get("large", tmp_path / revision, options=TransferOptions(jobs=2))
        assert (tmp_path / revision).read_bytes() == large
        assert (len(result.servers), len(result.without), result.restarts) == (parts, 2 - parts, 0)


async def test_servers_of_one_bucket_are_replicas(tmp_path: Path) -> None:
    """Servers without anything of their own serve one bucket: when one is gone in mid-stream, another sends the rest."""
    data = Random(3).randbytes(8 << 20)
    limits = ServerOptions(limits=LimitOptions(stream_bandwidth=8 << 20))
    with fake_s3({"a.bin": data}) as bucket:
        async with AsyncExitStack() as stack:
            running: dict[str, Server] = {}
            for _ in range(2):
                store = ObjectStore(s3_store(bucket.port))
                stack.push_async_callback(store.aclose)
                server = await stack.enter_async_context(Server(store, options=limits))
                running[server.address] = server
            client = await stack.enter_async_context(Client(",".join(running)))
            began: list[str] = []
            getting = asyncio.create_task(
                client.get("a.bin", tmp_path / "a.bin", options=TransferOptions(jobs=1), observers=[Began(began)])
            )
            part = tmp_path / "a.bin.unspool-part"
            while not (part.exists() and part.stat().st_blocks * 512 > len(data) // 4):
                await asyncio.sleep(0.01)
            await running[began[-1]].stop(0)
            result = await getting
    assert (tmp_path / "a.bin").read_bytes() == data
    assert result.bytes_received == len(data)
    assert len(result.servers) == 2


class Began:
    """Notes the servers of attempts."""

    def __init__(self, servers: list[str]) -> None:
        self._servers = servers

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, AttemptBegan):
            self._servers.append(event.server)


async def test_each_address_of_a_host_is_a_replica(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `dns:///` a host that has several addresses is a list, and it is looked up again when one of them fails."""
    async with AsyncExitStack() as stack:
        store = LocalStore(root)
        stack.push_async_callback(store.aclose)
        first = Server(store, "127.0.0.1:0")
        port = int((await first.start()).rpartition(":")[2])
        known = ["127.0.0.1", "127.0.0.2"]
        lookups = 0

        async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            nonlocal lookups
            assert host == "files.example"
            lookups += 1
            return [(2, 1, 6, "", (address, port)) for address in known for _ in range(2)]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        client = await stack.enter_async_context(Client(f"dns:///files.example:{port}"))
        for _ in range(3):  # nobody listens at 127.0.0.2
            await client.stat("100")
        assert lookups == 1
        other = Server(store, f"127.0.0.3:{port}")
        await other.start()
        known[:] = ["127.0.0.3"]
        await first.stop(0)
        client._seams.transport._looked = -100.0  # type: ignore[union-attr]  # that was some time ago
        result = await client.get("100", tmp_path / "b.bin")
        assert set(result.servers) == {f"127.0.0.3:{port}"}
        await other.stop(0)


async def test_a_host_without_addresses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be looked up is an error about the name."""
    assert await addresses_of("::1", 1, "unspools://") == ["unspools://[::1]:1"]

    async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ConnectError, match=r"files.example:1: no such host \(Name or service not known\)"):
        await Client("dns:///files.example:1").stat("a")
