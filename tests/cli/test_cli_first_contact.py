"""First contact: a server that is not a gRPC server is reported soon, in one line, by every command."""

from __future__ import annotations

import http.server
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from cli.serveddir import Served
from listening import listening
from processes import eventually, outcome_of, running, serving, unspool

COMMANDS = {
    "get": ["get", "{}/a.bin"],
    "get -r": ["get", "-r", "{}/dir", "here"],
    "get --dialect demo": ["get", "--dialect", "demo", "{}/a.bin"],
    "ls": ["ls", "{}"],
    "stat": ["stat", "{}/a.bin"],
    "cat": ["cat", "{}/a.bin"],
    "verify": ["verify", "{}/a.bin", "/dev/null"],
    "conformance": ["conformance", "{}"],
}

SOON = 10.0
"""Seconds after which a command is killed. It takes less than one; the retries of a transfer would take at least 20."""


@contextmanager
def nobody() -> Iterator[str]:
    """A port that is bound, but where no server listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def no_such_host() -> Iterator[str]:
    """A name that cannot exist (RFC 6761)."""
    yield "files.invalid:50051"


@contextmanager
def plain_http() -> Iterator[str]:
    """A web server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Silent(http.server.SimpleHTTPRequestHandler):
    """Answers as any web server does, and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Log nothing."""


def answering(greeting: bytes) -> AbstractContextManager[str]:
    """A server that sends these bytes to every client, and then ends the connection."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(greeting)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    return listening(answer)


@contextmanager
def secure_shell() -> Iterator[str]:
    """A server of another protocol that sends first."""
    with answering(b"SSH-2.0-OpenSSH_9.9\r\n") as address:
        yield address


@contextmanager
def no_backend() -> Iterator[str]:
    """A load balancer without servers, or a TLS port: it closes accepted connections."""
    with answering(b"") as address:
        yield address


PLACES: dict[Callable[[], AbstractContextManager[str]], str] = {
    nobody: "nobody listens there (connection refused); start `unspool serve`, or check the port",
    no_such_host: "no such host (name resolution failed); check the name",
    plain_http: "an HTTP/1 server answers there, not gRPC; check the port",
    secure_shell: "something answers there that does not speak gRPC; check the port",
    no_backend: "the connection is closed as soon as it is made (by a TLS port, or a load balancer without servers)",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_what_is_no_server_is_told_soon(
    place: Callable[[], AbstractContextManager[str]], command: list[str], tmp_path: Path
) -> None:
    """Exit code 7 without any retry, and one line that names host and port, the fault, and what to check."""
    with place() as address:
        done = unspool(*[argument.format(address) for argument in command], cwd=tmp_path, seconds=SOON)
    assert done.code == 7
    assert done.complaint.startswith(f"unspool: {address}: {PLACES[place]}")
    assert done.out == b""
    assert list(tmp_path.iterdir()) == []


@contextmanager
def nginx(base: Path) -> Iterator[tuple[str, str]]:
    """A real nginx with HTTP/2: a web site, and a gRPC proxy without a server behind it."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not here: apt-get install nginx-light")
    with nobody() as site, nobody() as proxy:
        pass  # nginx cannot choose a free port
    kept = "".join(f"{kind}_temp_path {base}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (base / "nginx.conf").write_text(
        f"""
        daemon off; worker_processes 1; pid {base}/pid; error_log {base}/error.log;
        events {{ worker_connections 64; }}
        http {{
            access_log off; {kept}
            server {{ listen {site} http2; location / {{ return 404; }} }}
            server {{ listen {proxy} http2; location / {{ grpc_pass grpc://unix:{base}/nobody.sock; }} }}
        }}
        """
    )
    with subprocess.Popen([program, "-p", str(base), "-c", str(base / "nginx.conf"), "-e", str(base / "error.log")]) as process:
        try:
            eventually((base / "pid").exists)
            yield site, proxy
        finally:
            process.terminate()


def test_an_http_2_server_is_told_soon(tmp_path: Path) -> None:
    """A web server with HTTP/2, and a proxy without a server, answer in HTTP: the error says so, without a retry."""
    with nginx(tmp_path) as (site, proxy):
        for command in ("ls", "conformance"):
            done = unspool(command, site, seconds=SOON)
            assert (done.code, done.out) == (7, b""), done.err
            assert done.complaint.startswith(f"unspool: {site}: an HTTP/2 server")
            done = unspool(command, proxy, seconds=SOON)
            assert (done.code, done.out) == (7, b"")
            assert "proxy answers there, but " in done.complaint


@pytest.mark.parametrize("command", ["ls", "conformance"])
def test_a_server_that_is_not_there_yet_can_be_waited_for(command: str, tmp_path: Path) -> None:
    """With --wait a command that starts before its server completes once the server runs."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.bin").write_bytes(b"abc")
    with ExitStack() as taken:
        address = taken.enter_context(nobody())
        with running(command, address, "--wait", "60") as waiting:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(2)
            taken.close()
            with serving(tmp_path / "root", tmp_path / "log", listen=address):
                done = outcome_of(waiting)
    assert (done.code, done.err) == (0, "")


def test_proxies_never_come_between_a_machine_and_itself(served: Served, tmp_path: Path) -> None:
    """A server on loopback is reached directly, whatever proxies the environment names."""
    with nobody() as proxy:
        environment = dict.fromkeys(("grpc_proxy", "https_proxy", "http_proxy"), f"http://{proxy}")
        done = unspool("get", served.url("hello.txt"), tmp_path, environment=environment, seconds=SOON)
    assert done.code == 0
    assert (tmp_path / "hello.txt").read_bytes() == served.files["hello.txt"]


def test_a_proxy_that_refuses_is_named(tmp_path: Path) -> None:
    """A server elsewhere is reached through the proxy; if that fails, the line names the environment variable."""
    with plain_http() as proxy:
        done = unspool("ls", "files.invalid:50051", environment={"https_proxy": f"http://{proxy}"}, seconds=SOON)
    assert done.code == 7
    assert done.complaint.startswith("unspool: files.invalid:50051: the proxy refused to connect (HTTP status 501)")
    assert "through the proxy in https_proxy" in done.complaint
