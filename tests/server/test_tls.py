"""TLS and mutual TLS, over real sockets: which clients are served, and which files are refused."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

import unspool
from authority import Authority, Pair
from unspool.client.client import Client
from unspool.client.events import Advanced, Event
from unspool.core.address import SECURE_SCHEME
from unspool.core.retry import RetryPolicy
from unspool.core.tls import is_secure_peer
from unspool.errors import InvalidRequestError, LocalFileError, UnreachableError, UnspoolError
from unspool.options import ServerOptions, TransferOptions
from unspool.rpc.certificates import Certificates
from unspool.rpc.tls import is_over_tls, open_channel, server_credentials
from unspool.server.server import Server
from unspool.stores import MemoryStore

DATA = bytes(range(256)) * 8192


def store() -> MemoryStore:
    """Return a store with a file of two MiB."""
    return MemoryStore({"a.bin": DATA})


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return an authority that signs the server's certificates and those of clients."""
    return Authority(tmp_path)


@pytest.fixture
def server_pair(authority: Authority) -> Pair:
    """Return a certificate for loopback."""
    return authority.issue("server")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_file_is_read_over_tls(authority: Authority, server_pair: Pair, tmp_path: Path, host: str) -> None:
    """A server with a certificate has it in its address; a client that trusts its authority downloads, with several streams."""
    async with Server(store(), f"{host}:0", cert=server_pair.cert, key=server_pair.key) as server:
        assert server.address.startswith(f"{SECURE_SCHEME}{host}:")
        assert server.addresses == (server.address,)
        async with Client(server.address, ca=authority.file, options=unspool.TransferOptions(jobs=2)) as client:
            result = await client.get("a.bin", tmp_path / "a.bin")
        assert result.verified == "file"
        assert (tmp_path / "a.bin").read_bytes() == DATA
        async with Client(server.address.removeprefix(SECURE_SCHEME), tls=True, ca=str(authority.file)) as client:
            assert await client.read("a.bin") == DATA


async def test_each_address_has_its_own_security(authority: Authority, server_pair: Pair, tmp_path: Path) -> None:
    """One server for machines with certificates, people without, and local programs over a Unix socket and without TLS."""
    machine = authority.issue("machine", "machine@example.com")
    listen = ["mtls:127.0.0.1:0", "tls:127.0.0.1:0", f"unix:{tmp_path}/s", "plain:127.0.0.1:0"]
    async with Server(store(), listen, cert=server_pair.cert, key=server_pair.key, client_ca=authority.file) as server:
        mtls, tls, unix, plain = server.addresses
        assert server.address == mtls
        assert [address.startswith(SECURE_SCHEME) for address in server.addresses] == [True, True, False, False]
        async with Client(mtls, ca=authority.file, cert=machine.cert, key=machine.key) as client:
            assert await client.read("a.bin") == DATA
        for address in (unix, plain):
            async with Client(address) as client:
                assert await client.read("a.bin") == DATA
        async with Client(tls, ca=authority.file) as client:
            assert await client.read("a.bin") == DATA
        async with Client(mtls, ca=authority.file) as client:
            with pytest.raises(UnspoolError):
                await client.stat("a.bin")


async def test_a_server_knows_which_calls_came_over_tls(authority: Authority, server_pair: Pair) -> None:
    """For each call the server knows whether its own connection uses TLS."""
    seen = []

    async def handle(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        tls = is_over_tls(context.auth_context())
        seen.append((tls, is_secure_peer(context.peer(), tls=tls)))
        return b""

    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("a.A", {"B": grpc.unary_unary_rpc_method_handler(handle)})]
    )
    certificates = Certificates(authority.file, server_pair.cert, server_pair.key)
    ports = [
        server.add_insecure_port("127.0.0.1:0"),
        server.add_secure_port("127.0.0.1:0", server_credentials(certificates, "tls")),
        server.add_secure_port("127.0.0.1:0", server_credentials(certificates, "mtls")),
    ]
    await server.start()
    for port, pems in zip(ports, (None, certificates.current(), certificates.current()), strict=True):
        async with open_channel(f"127.0.0.1:{port}", pems, ()) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/a.A/B")
            await call(b"")
    await server.stop(None)
    assert seen == [(False, True), (True, True), (True, True)]


async def test_a_key_may_be_in_the_file_of_its_certificate(authority: Authority, server_pair: Pair, tmp_path: Path) -> None:
    """On both ends, certificate and key may be in one file."""
    both = tmp_path / "both.pem"
    both.write_bytes(server_pair.key.read_bytes() + server_pair.cert.read_bytes())
    async with (
        Server(store(), cert=both, client_ca=authority.file) as server,
        Client(server.address, ca=authority.file, cert=both) as client,
    ):
        assert (await client.stat("a.bin")).size == len(DATA)


def test_blocking_calls_take_the_same_options(authority: Authority, server_pair: Pair, tmp_path: Path) -> None:
    """`unspool.get`, `open`, `list` and the others reach a server over TLS, by its URL or by `tls=True`."""
    from processes import serving  # noqa: PLC0415 - beside its use

    root = tmp_path / "root"
    root.mkdir()
    (root / "a.bin").write_bytes(DATA)
    options = ("--cert", str(server_pair.cert), "--key", str(server_pair.key))
    with serving(root, tmp_path / "log", *options) as server:
        url = f"{server.address}/a.bin"
        assert url.startswith(SECURE_SCHEME)
        ca = authority.file
        assert unspool.get(url, tmp_path / "here", ca=ca).verified == "file"
        assert unspool.stat(url, ca=ca).size == len(DATA)
        assert unspool.exists(url.removeprefix(SECURE_SCHEME), tls=True, ca=ca)
        assert unspool.read(url, start=1, length=2, ca=ca) == DATA[1:3]
        assert unspool.verify(url, tmp_path / "here", ca=ca).size == len(DATA)
        assert [entry.name for entry in unspool.list(server.address, ca=ca)] == ["a.bin"]
        assert unspool.get_tree(server.address, tmp_path / "tree", ca=ca).files == 1
        with unspool.open(url, ca=ca) as file:
            file.seek(-2, 2)
            assert file.read() == DATA[-2:]


async def test_what_came_in_clear_is_not_gone_on_with_over_tls(authority: Authority, server_pair: Pair, tmp_path: Path) -> None:
    """An interrupted download over TLS discards a part file from a connection without TLS, and resumes one from TLS."""
    data = bytes(40 << 20)
    listen = ("plain:127.0.0.1:0", "tls:127.0.0.1:0")
    async with Server(MemoryStore({"a.bin": data}), listen, cert=server_pair.cert, key=server_pair.key) as server:
        for first, second in ((0, 1), (1, 1), (1, 0)):
            path = tmp_path / f"{first}{second}"
            clients = [Client(server.addresses[0]), Client(server.addresses[1], ca=authority.file)]
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(clients[first].get("a.bin", path, observers=[Stop()]))
            result = await clients[second].get("a.bin", path)
            assert (result.resumed_from > 0) == (first == 1)
            assert path.read_bytes() == data
            for client in clients:
                await client.aclose()


class Stop:
    """An observer that interrupts a download in its middle."""

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        task = asyncio.current_task()
        if isinstance(event, Advanced) and event.good >= 20 << 20 and task is not None:
            task.cancel()


async def test_a_server_that_has_answered_is_tried_again(authority: Authority, server_pair: Pair) -> None:
    """Once a server has answered, a failure of its TLS is retried, because it may be repaired soon."""
    files = {"cert": server_pair.cert, "key": server_pair.key}
    options = TransferOptions(retry=RetryPolicy(budget=2, first_wait=0.01))
    async with AsyncExitStack() as stack:
        async with Server(store(), **files) as first:  # type: ignore[arg-type]
            client = await stack.enter_async_context(Client(first.address, ca=authority.file, options=options))
            assert await client.read("a.bin", length=1) == DATA[:1]
        listen = first.address.removeprefix(SECURE_SCHEME)
        async with Server(store(), listen, **files, client_ca=authority.file):  # type: ignore[arg-type]
            with pytest.raises(UnreachableError):
                await client.stat("a.bin")
        async with Server(store(), listen, **files):  # type: ignore[arg-type]
            assert (await client.stat("a.bin", options=TransferOptions())).size == len(DATA)


# What is refused


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "plain:0.0.0.0:0", "0"])
async def test_in_clear_nobody_else_is_served_unasked(listen: str) -> None:
    """An address that other machines can reach is not served without TLS, unless that is allowed."""
    with pytest.raises(InvalidRequestError, match=r"is open to other machines, and in clear: .*insecure=True"):
        await Server(store(), listen).start()


async def test_over_tls_others_are_served(server_pair: Pair, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """With TLS an address that other machines can reach needs no permission; a warning says that clients are not identified."""
    listen = ("tls:0.0.0.0:0", "mtls:0.0.0.0:0")
    async with Server(store(), listen, cert=server_pair.cert, key=server_pair.key, client_ca=authority.file) as server:
        warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert warned[0].startswith(f"{server.address} is open to other machines: there is no authentication")


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
async def test_tls_before_1_2_is_refused(server_pair: Pair, version: str) -> None:
    """A client that supports at most TLS 1.1 is refused; one that supports at most 1.2 is served."""
    async with Server(store(), cert=server_pair.cert, key=server_pair.key) as server:
        port = int(server.address.rpartition(":")[2])

        def connect(most: str) -> str | None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.set_alpn_protocols(["h2"])
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion[most]
            with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as secure:
                return secure.version()

        assert await asyncio.to_thread(connect, "TLSv1_2") == "TLSv1.2"
        with pytest.warns(DeprecationWarning, match="TLSv1"), pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(connect, version)


@pytest.mark.parametrize("tls", [True, False])
async def test_who_connects_and_says_nothing_is_disconnected(server_pair: Pair, *, tls: bool) -> None:
    """A peer has `handshake_timeout` seconds for the handshake; then its connection is closed."""
    options = ServerOptions(handshake_timeout=0.2)
    files = {"cert": server_pair.cert, "key": server_pair.key} if tls else {}
    async with Server(store(), options=options, **files) as server:  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.address.rpartition(":")[2]))
        began = time.monotonic()
        async with asyncio.timeout(5):
            await reader.read()  # without TLS the server sends first: its settings
        assert time.monotonic() - began >= 0.15
        writer.close()


@pytest.mark.parametrize(
    ("ca", "cert", "key", "kind", "said"),
    [
        ("nope.pem", None, None, LocalFileError, "nope.pem: no such file"),
        ("server.key", None, None, InvalidRequestError, "server.key: there are no certificates"),
        ("ca.pem", "nope.pem", None, LocalFileError, "nope.pem: no such file"),
        ("ca.pem", "server.key", None, InvalidRequestError, "server.key: there is no certificate"),
        ("ca.pem", "server.pem", None, InvalidRequestError, "server.pem: there is no private key"),
        ("ca.pem", "server.pem", "other.key", InvalidRequestError, "other.key: not the key of the certificate in"),
        ("ca.pem", "server.pem", "locked.key", InvalidRequestError, "locked.key: the key has a passphrase"),
        ("ca.pem", None, "server.key", InvalidRequestError, "server.key: a key without a certificate"),
        ("/dev/zero", None, None, InvalidRequestError, "/dev/zero: larger than any file of certificates"),
    ],
)
async def test_a_file_that_is_not_what_it_should_be_is_named(
    *,
    authority: Authority,
    server_pair: Pair,
    tmp_path: Path,
    ca: str,
    cert: str | None,
    key: str | None,
    kind: type[UnspoolError],
    said: str,
) -> None:
    """A file that is missing, of another kind, mismatched or locked is one line that names it, before any connection."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - beside its use

    authority.issue("other")
    private = serialization.load_pem_private_key(server_pair.key.read_bytes(), None)
    (tmp_path / "locked.key").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    paths = [None if name is None else tmp_path / name for name in (ca, cert, key)]
    with pytest.raises(kind) as caught:
        Client("unspools://localhost", ca=paths[0], cert=paths[1], key=paths[2])
    assert str(caught.value).startswith(f"{tmp_path}/" if not ca.startswith("/") else "/")
    assert said in str(caught.value)
    if cert is not None:
        with pytest.raises(kind):
            await Server(store(), cert=paths[1], key=paths[2]).start()


def test_files_for_a_connection_in_clear_are_refused(authority: Authority) -> None:
    """A client with certificates and without TLS is refused, and sends nothing."""
    with pytest.raises(InvalidRequestError, match="this connection is in clear, and ca=, cert= and key= are for TLS"):
        Client("localhost:1", ca=authority.file)
    with pytest.raises(InvalidRequestError, match="a Unix socket has no TLS"):
        Client("unix:/run/x", tls=True)


async def test_a_server_whose_certificate_has_expired_warns(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """A server with an expired certificate starts, because its clock may be wrong, and logs since when it is expired."""
    old = authority.issue("old", days=(-9, -2))
    async with Server(store(), cert=old.cert, key=old.key):
        (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage().startswith(f"{old.cert}: this certificate expired on 20")
