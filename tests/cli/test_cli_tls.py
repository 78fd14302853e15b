"""TLS on the command line: every command reports each fault soon, in one line that names it."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from authority import Authority, Pair
from processes import Outcome, serving, unspool
from unspool.client.client import Client
from unspool.core.address import SECURE_SCHEME
from unspool.core.retry import RetryPolicy
from unspool.errors import ConnectError, TlsError, UnauthenticatedError, UnspoolError
from unspool.options import TransferOptions

SOON = 2.0
"""Seconds within which the fault is reported."""


@dataclass(frozen=True)
class Place:
    """A server with every kind of address and certificate."""

    directory: Path
    mtls: str
    tls: str
    clear: str
    expired: str
    early: str
    elsewhere: str
    web: str

    def file(self, name: str) -> Path:
        """Return one of the certificate files."""
        return self.directory / name


class Silent(SimpleHTTPRequestHandler):
    """Answers as any web server does, and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Log nothing."""


@contextmanager
def web_server(pair: Pair) -> Iterator[str]:
    """A web server over TLS, without HTTP/2."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that leave
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"{SECURE_SCHEME}127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Run servers with certificates of every kind."""
    directory = tmp_path_factory.mktemp("tls")
    root = directory / "root"
    root.mkdir()
    (root / "a.bin").write_bytes(b"hello\n")
    authority, other = Authority(directory), Authority(directory, "other")
    good = authority.issue("server")
    pairs = {
        "expired": authority.issue("expired", days=(-9, -2)),
        "early": authority.issue("early", days=(2, 9)),
        "elsewhere": authority.issue("elsewhere", "a.example", "b.example"),
    }
    authority.issue("machine", "machine@example.com")
    authority.issue("oldmachine", "machine@example.com", days=(-9, -2))
    other.issue("stranger", "machine@example.com")
    with ExitStack() as stack:

        def run(name: str, pair: Pair, *options: str) -> str:
            server = serving(root, directory / f"{name}.log", "--cert", str(pair.cert), "--key", str(pair.key), *options)
            return stack.enter_context(server).address

        at = {name: run(name, pair) for name, pair in pairs.items()}
        mtls = run("mtls", good, "--client-ca", str(authority.file))
        clear = stack.enter_context(serving(root, directory / "clear.log")).address
        web = stack.enter_context(web_server(good))
        yield Place(directory, mtls=mtls, tls=run("tls", good), clear=clear, web=web, **at)


FAULTS: dict[str, tuple[str, list[str], int, str, str]] = {
    "wrong authority": ("tls", ["ca=other.pem"], 7, "TLS", "is not signed by the authorities in the file of --ca"),
    "unknown authority": ("tls", [], 7, "TLS", "is not signed by the authorities that gRPC ships with"),
    "expired": ("expired", ["ca=ca.pem"], 7, "TLS", "the server's certificate expired on 20"),
    "not yet valid": ("early", ["ca=ca.pem"], 7, "TLS", "the server's certificate is not valid before 20"),
    "another host": ("elsewhere", ["ca=ca.pem"], 7, "TLS", "is for a.example, b.example, not for 127.0.0.1"),
    "in clear to TLS": ("in clear tls", [], 7, "TLS", "this port uses TLS, and the connection was in clear: write unspools://"),
    "in clear to mutual TLS": ("in clear mtls", [], 7, "TLS", "this port uses TLS, and the connection was in clear"),
    "TLS to clear": (
        "tls clear",
        ["ca=ca.pem"],
        7,
        "TLS",
        "does not use TLS: start the server with a certificate, or write unspool://",
    ),
    "a web server": ("web", ["ca=ca.pem"], 7, "TLS", "a TLS server answers there, but not with HTTP/2"),
    "no client certificate": (
        *("mtls", ["ca=ca.pem"], 4, "UNAUTHENTICATED"),
        "the server wants a client certificate: give it with --cert and --key",
    ),
    "another client certificate": (
        *("mtls", ["ca=ca.pem", "cert=stranger.pem", "key=stranger.key"], 4, "UNAUTHENTICATED"),
        "the server refuses the client certificate in",
    ),
    "an expired client certificate": (
        *("mtls", ["ca=ca.pem", "cert=oldmachine.pem", "key=oldmachine.key"], 4, "UNAUTHENTICATED"),
        "oldmachine.pem expired on 20",
    ),
}
"""For each fault: the address, the files, the exit code, the reason, and words of the line."""


def address_of(place: Place, where: str) -> str:
    """Return the address of a fault, with its scheme or without."""
    what, _, name = where.rpartition(" ")
    address: str = getattr(place, name)
    return address.removeprefix(SECURE_SCHEME) if what == "in clear" else SECURE_SCHEME + address if what else address


def flags(place: Place, files: list[str]) -> list[str]:
    """Return the files as options of the command line."""
    return [f"--{name}={place.file(file)}" for name, file in (each.split("=") for each in files)]


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_told_by_the_library(place: Place, fault: str) -> None:
    """Each fault has its own error and one line that names it, within two seconds, without a retry."""
    where, files, code, reason, said = FAULTS[fault]
    address = address_of(place, where)
    paths = {name: place.file(file) for name, file in (each.split("=") for each in files)}
    # Waiting does not help, so no command waits.
    options = TransferOptions(retry=RetryPolicy(connect_wait=60))
    seconds = []
    for _ in range(3):  # on a busy machine the first may take longer
        began = time.monotonic()
        with pytest.raises(UnspoolError) as caught:
            async with Client(address, options=options, **paths) as client:  # type: ignore[arg-type]
                await client.stat("a.bin")
        seconds.append(time.monotonic() - began)
        if seconds[-1] < SOON:
            break
    assert min(seconds) < SOON
    error = caught.value
    assert (error.exit_code, error.reason) == (code, reason)
    assert isinstance(error, UnauthenticatedError if code == 4 else TlsError)
    assert isinstance(error, PermissionError if code == 4 else ConnectError)
    assert error.message.startswith(f"{address}: ")
    plain = said.replace("--cert and --key", "cert= and key=").replace("--ca", "ca=")
    assert plain in error.message
    assert "\n" not in error.message


def ended(place: Place, fault: str, *command: str) -> Outcome:
    """Run a command with a fault, and check how it ends."""
    where, files, code, _, said = FAULTS[fault]
    address = address_of(place, where)
    done = unspool(*[part.format(address) for part in command], *flags(place, files), cwd=place.directory)
    assert done.code == code, done.err
    assert said in done.complaint
    assert done.complaint.count(address.removeprefix(SECURE_SCHEME)) <= 2
    assert done.complaint.startswith(f"unspool: {address}: ")
    return done


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_by_the_command_line(place: Place, fault: str) -> None:
    """One line names the fault and says what to do, with the exit code for it, soon."""
    assert ended(place, fault, "stat", "{}/a.bin").out == b""


COMMANDS = {
    "get": ["get", "{}/a.bin"],
    "get -r": ["get", "-r", "{}", "tree"],
    "get --dialect demo": ["get", "--dialect", "demo", "{}/a.bin"],
    "ls": ["ls", "{}"],
    "cat": ["cat", "{}/a.bin"],
    "verify": ["verify", "{}/a.bin", "/dev/null"],
    "conformance": ["conformance", "{}"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("fault", ["wrong authority", "no client certificate"])
def test_every_command_tells_of_it(place: Place, command: list[str], fault: str) -> None:
    """Every command prints the same line and has the same exit code."""
    ended(place, fault, *command)


@pytest.mark.parametrize("command", [*COMMANDS.values(), ["stat", "{}/a.bin"]], ids=[*COMMANDS, "stat"])
def test_every_command_speaks_tls(place: Place, command: list[str], tmp_path: Path) -> None:
    """With the files that the server requires, each command works over mutual TLS."""
    files = flags(place, ["ca=ca.pem", "cert=machine.pem", "key=machine.key"])
    address = place.mtls if command[0] != "ls" else place.mtls.removeprefix(SECURE_SCHEME)
    done = unspool(*[part.format(address) for part in command], "--tls", *files, cwd=tmp_path)
    assert done.code == (6 if command[0] == "verify" else 0), done.err  # /dev/null is another file


def test_several_files_come_over_tls(place: Place, tmp_path: Path) -> None:
    """Several URLs in one command each use their own scheme, with the same files."""
    files = flags(place, ["ca=ca.pem"])
    (tmp_path / "here").mkdir()
    done = unspool("get", f"{place.tls}/a.bin", f"{place.tls}/a.bin", *files, "--json", tmp_path / "here")
    assert done.code == 0, done.err
    assert (tmp_path / "here" / "a.bin").read_bytes() == b"hello\n"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_server_has_several_addresses(place: Place, tmp_path: Path, workers: str) -> None:
    """The ready line names each address as clients write it, in order, with its own security, also with workers."""
    listen = ["mtls:127.0.0.1:0", "tls:localhost:0", "plain:127.0.0.1:0"]
    more = [part for address in listen[1:] for part in ("--listen", address)]
    files = [f"--cert={place.file('server.pem')}", f"--key={place.file('server.key')}", f"--client-ca={place.file('ca.pem')}"]
    with serving(place.directory / "root", tmp_path / "log", *more, *files, "--workers", workers, listen=listen[0]) as server:
        mtls, tls, clear = server.addresses
        assert (mtls.startswith(SECURE_SCHEME), tls.startswith(f"{SECURE_SCHEME}localhost:"), "://" in clear) == (
            True,
            True,
            False,
        )
        machine = flags(place, ["ca=ca.pem", "cert=machine.pem", "key=machine.key"])
        assert unspool("cat", f"{mtls}/a.bin", *machine).out == b"hello\n"
        assert unspool("cat", f"{tls}/a.bin", *flags(place, ["ca=ca.pem"])).out == b"hello\n"
        assert unspool("cat", f"{clear}/a.bin").out == b"hello\n"
        assert unspool("cat", f"{mtls}/a.bin", *flags(place, ["ca=ca.pem"])).code == 4
    assert server.log.read_text() == "" or all("open to other" not in line for line in server.log.read_text().splitlines())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_in_clear_for_others_only_if_it_is_said(place: Place, workers: str) -> None:
    """An address that other machines can reach is refused without TLS, with one line that lists what to do."""
    done = unspool("serve", place.directory / "root", "--listen", "0.0.0.0:0", "--workers", workers)
    assert done.code == 2
    assert "is open to other machines, and in clear: give a certificate with --cert and --key" in done.complaint
    assert done.complaint.endswith("or allow it with --insecure")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--cert", "{}/nope.pem"], 8, "nope.pem: no such file"),
        (["--cert", "{}/server.pem", "--key", "{}/expired.key"], 2, "expired.key: not the key of the certificate in"),
        (["--client-ca", "{}/ca.pem"], 2, "give the server's own certificate with --cert"),
        (["--listen", "tls:127.0.0.1:0"], 2, "TLS needs a certificate: give it with --cert and --key"),
    ],
)
def test_a_server_whose_files_are_bad_does_not_start(
    place: Place, workers: str, options: list[str], code: int, said: str
) -> None:
    """One line names the invalid file, or the missing option."""
    words = [option.format(place.directory) for option in options]
    done = unspool("serve", place.directory / "root", "--workers", workers, "--listen", "127.0.0.1:0", *words)
    assert done.code == code
    assert said in done.complaint
