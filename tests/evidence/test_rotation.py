"""Certificates are replaced while files are transferred: no transfer is cut, and new connections use the new ones."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from authority import Authority, Pair
from contract.transport_contract import until
from processes import serving
from unspool.client.client import Client
from unspool.client.results import Result
from unspool.core.address import SECURE_SCHEME
from unspool.errors import UnauthenticatedError
from unspool.options import TransferOptions
from unspool.server.server import Server
from unspool.stores import MemoryStore

DOWNLOADS = 20
SIZE = 3 << 20
PACE = "1M"
"""Bytes per second of one stream: a download takes three seconds."""


def shown_at(address: str) -> bytes:
    """Return the certificate (DER) that a server shows to a new connection."""
    host, _, port = address.removeprefix(SECURE_SCHEME).rpartition(":")
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)), timeout=20))


def der(pair: Pair) -> bytes:
    """Return a certificate (DER)."""
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text())


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_certificates_are_replaced_while_20_downloads_run(tmp_path: Path, workers: str) -> None:
    """Each of 20 downloads over TLS is one stream from beginning to end; every new handshake shows the newest certificate."""
    root = tmp_path / "root"
    root.mkdir()
    data = os.urandom(SIZE)
    (root / "a.bin").write_bytes(data)
    authority = Authority(tmp_path)
    used = authority.issue("used")
    options = ("--cert", str(used.cert), "--key", str(used.key), "--workers", workers, "--max-stream-bandwidth", PACE)
    seen = {der(used)}
    with serving(root, tmp_path / "log", *options) as server:
        assert await asyncio.to_thread(shown_at, server.address) == der(used)

        async def download(number: int) -> Result:
            async with Client(server.address, ca=authority.file, options=TransferOptions(jobs=1)) as client:
                return await client.get("a.bin", tmp_path / f"{number}.bin")

        running = asyncio.gather(*(download(number) for number in range(DOWNLOADS)))
        await until(lambda: all((tmp_path / f"{number}.bin.unspool-part").exists() for number in range(DOWNLOADS)))
        while not running.done():
            fresh = authority.issue("fresh")
            used.become(fresh)
            seen.add(der(fresh))
            for _ in range(4):  # with workers, the kernel chooses which one answers
                assert await asyncio.to_thread(shown_at, server.address) == der(fresh)
            await asyncio.sleep(0.1)
        results = await running
        entries = server.entries()
    assert len(seen) >= 3
    assert [(result.attempts, result.bytes_received, result.verified) for result in results] == [(1, SIZE, "file")] * DOWNLOADS
    assert all((tmp_path / f"{number}.bin").read_bytes() == data for number in range(DOWNLOADS))
    assert {entry["outcome"] for entry in entries if entry.get("method") == "ReadFile"} == {"OK"}


async def test_a_bad_certificate_disturbs_nobody(tmp_path: Path) -> None:
    """If the new certificate is invalid, the server keeps using the old one, logs this once, and counts it."""
    authority = Authority(tmp_path)
    used = authority.issue("used")
    async with Server(MemoryStore({"a": b"a"}), cert=used.cert, key=used.key) as server:
        before = der(used)
        used.cert.write_bytes(b"not a certificate")
        for _ in range(3):
            assert await asyncio.to_thread(shown_at, server.address) == before
            async with Client(server.address, ca=authority.file) as client:
                assert await client.read("a") == b"a"
        assert server.certificates is not None
        assert server.certificates.refused == 1
        fresh = authority.issue("fresh")
        used.become(fresh)
        assert await asyncio.to_thread(shown_at, server.address) == der(fresh)


async def test_who_may_connect_changes_with_the_file(tmp_path: Path) -> None:
    """A new authority of clients applies to new connections; existing connections stay."""
    old, new = Authority(tmp_path), Authority(tmp_path, "new")
    used = old.issue("used")
    mine = old.issue("mine", "me@example.com")
    theirs = new.issue("theirs", "them@example.com")
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(old.file.read_bytes())
    async with (
        Server(MemoryStore({"a": b"a"}), cert=used.cert, key=used.key, client_ca=client_ca) as server,
        Client(server.address, ca=old.file, cert=mine.cert, key=mine.key) as first,
    ):
        assert await first.read("a") == b"a"
        client_ca.write_bytes(new.file.read_bytes())
        async with Client(server.address, ca=old.file, cert=theirs.cert, key=theirs.key) as second:
            assert await second.read("a") == b"a"
        async with Client(server.address, ca=old.file, cert=mine.cert, key=mine.key) as third:
            with pytest.raises(UnauthenticatedError, match="refuses the client certificate"):
                await third.stat("a")
        assert await first.read("a") == b"a"


async def test_a_client_uses_its_new_certificate_before_the_old_one_expires(tmp_path: Path) -> None:
    """A client whose certificate is renewed uses the new one for later calls, and a running read continues."""
    old, new = Authority(tmp_path), Authority(tmp_path, "new")
    used = old.issue("used")
    mine = old.issue("mine", "me@example.com")
    data = bytes(4 << 20)
    client_ca = tmp_path / "clients.pem"
    client_ca.write_bytes(old.file.read_bytes())
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            Server(MemoryStore({"a": data}), cert=used.cert, key=used.key, client_ca=client_ca)
        )
        client = await stack.enter_async_context(Client(server.address, ca=old.file, cert=mine.cert, key=mine.key))
        async with client.open("a") as reading:
            blocks = aiter(reading)
            got = len(await anext(blocks))
            # From now on only clients of the new authority are accepted.
            client_ca.write_bytes(new.file.read_bytes())
            mine.become(new.issue("fresh", "me@example.com"))
            assert (await client.stat("a")).size == len(data)
            async for block in blocks:
                got += len(block)
        assert got == len(data)


async def test_a_client_whose_new_certificate_is_bad_keeps_the_old_one(tmp_path: Path) -> None:
    """If a client's new certificate is invalid, its calls continue over the existing connection."""
    authority = Authority(tmp_path)
    used, mine = authority.issue("used"), authority.issue("mine", "me@example.com")
    async with (
        Server(MemoryStore({"a": b"a"}), cert=used.cert, key=used.key, client_ca=authority.file) as server,
        Client(server.address, ca=authority.file, cert=mine.cert, key=mine.key) as client,
    ):
        for contents in (mine.cert.read_bytes(), b"bad"):
            mine.cert.write_bytes(contents)
            assert await client.read("a") == b"a"
