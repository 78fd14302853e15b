"""The servers of the peers: each is a context manager that serves a directory and yields the process and its HOST:PORT."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench.measure import Process, running

REPOSITORY = Path(__file__).parent.parent

UNSPOOL = [sys.executable, "-m", "unspool"]

PROGRAMS = [sys.executable, "-m", "bench.programs"]

Server: TypeAlias = Callable[[Path], AbstractContextManager[tuple[Process | None, str]]]
"""Serves a directory. The process is None if no server is needed."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1 that signs itself, so that it is also what clients trust, and its private key."""

    file: Path
    key: Path


def new_certificate(directory: Path) -> Certificate:
    """Make a certificate, with the kind of key that a public authority signs today (ECDSA, P-256)."""
    made = Certificate(directory / "cert.pem", directory / "key.pem")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", str(made.key), "-out", str(made.file)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@contextmanager
def local(root: Path) -> Iterator[tuple[None, str]]:
    """No server: the client reads the files directly, and the directory takes the place of the address."""
    yield None, str(root)


def unspool(*options: str) -> Server:
    """`unspool serve` of a directory."""
    return lambda root: unspool_of(str(root), *options)(root)


def unspool_of(url: str, *options: str) -> Server:
    """`unspool serve` of a bucket, or of anything else that is no directory of the benchmark."""

    @contextmanager
    def serve(_: Path) -> Iterator[tuple[Process, str]]:
        command = [*UNSPOOL, "serve", url, "--listen", "127.0.0.1:0", "-q", *options]
        with running(command, "serving", cwd=REPOSITORY) as (process, line):
            yield process, line.split()[-1]

    return serve


def program(name: str, *arguments: str) -> Server:
    """One of the servers in `bench.programs`."""

    @contextmanager
    def serve(root: Path) -> Iterator[tuple[Process, str]]:
        with running([*PROGRAMS, f"serve_{name}", str(root), *arguments], "ready", cwd=REPOSITORY) as (process, line):
            yield process, f"127.0.0.1:{line.split()[-1]}"

    return serve


def tutorial(chunk_size: int) -> Server:
    """The tutorial's design in Go."""

    @contextmanager
    def serve(root: Path) -> Iterator[tuple[Process, str]]:
        options = ["--root", str(root), "--listen", "127.0.0.1:0", "--chunk-size", str(chunk_size)]
        with running([tutorial_binary(), "serve", *options], "listening") as (process, line):
            yield process, line.split()[-1]

    return serve


def nginx(root: Path, more: str = "") -> AbstractContextManager[tuple[Process, str]]:
    """Nginx with two workers and sendfile, and `more` lines for its server."""
    return _nginx(root, "tcp_nopush on;", more)


def nginx_tls(certificate: Certificate) -> Server:
    """Nginx as above, over TLS 1.3."""
    files = f"ssl_certificate {certificate.file}; ssl_certificate_key {certificate.key}; ssl_protocols TLSv1.3;"
    return lambda root: _nginx(root, "tcp_nopush on;", files, " ssl")


def nginx_for_spans(root: Path) -> AbstractContextManager[tuple[Process, str]]:
    """The same without `tcp_nopush`, which held back the end of some short answers for 40 ms: 770 spans/s."""
    return _nginx(root, "", "")


@contextmanager
def _nginx(root: Path, http: str, more: str, listen: str = "") -> Iterator[tuple[Process, str]]:
    with tempfile.TemporaryDirectory() as scratch:
        port = _free_port()
        config = Path(scratch) / "nginx.conf"
        temporary = "".join(f"{kind}_temp_path {scratch};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config.write_text(
            f"daemon off; user root; worker_processes 2; pid {scratch}/pid; error_log /dev/null;"
            f"events {{ worker_connections 512; }}"
            f"http {{ access_log off; sendfile on; {http} {temporary}"
            f"server {{ listen 127.0.0.1:{port}{listen}; root {root}; autoindex on; keepalive_requests 1000000; {more} }} }}"
        )
        with running(["nginx", "-p", scratch, "-c", str(config)]) as (process, _):
            _wait_for(port, process)
            yield process, f"127.0.0.1:{port}"


def nginx_dav(root: Path) -> AbstractContextManager[tuple[Process, str]]:
    """Nginx that takes files. Their bodies are first written into the same file system."""
    scratch = root.parent / "bodies"
    scratch.mkdir(exist_ok=True)
    return nginx(root, f"client_body_temp_path {scratch}; client_max_body_size 0; dav_methods PUT; create_full_put_path on;")


@contextmanager
def rclone_webdav(root: Path) -> Iterator[tuple[Process, str]]:
    """Rclone's WebDAV server."""
    port = _free_port()
    rclone = shutil.which("rclone") or str(Path(sys.executable).with_name("rclone"))
    # Without the last one it would not notice that the harness has removed the file of the round before.
    options = ["--config", "/dev/null", "--addr", f"127.0.0.1:{port}", "--dir-cache-time", "0s"]
    with running([rclone, "serve", "webdav", *options, str(root)]) as (process, _):
        _wait_for(port, process)
        yield process, f"127.0.0.1:{port}"


@contextmanager
def rsync(root: Path) -> Iterator[tuple[Process, str]]:
    """Rsync's daemon, with one module, `root`."""
    with tempfile.TemporaryDirectory() as scratch:
        port = _free_port()
        config = Path(scratch) / "rsyncd.conf"
        config.write_text(f"use chroot = no\nuid = root\ngid = root\n[root]\npath = {root}\nread only = no\n")
        command = ["rsync", "--daemon", "--no-detach", "--address=127.0.0.1", f"--port={port}", f"--config={config}"]
        with running(command) as (process, _):
            _wait_for(port, process)
            yield process, f"127.0.0.1:{port}"


def through_proxy(server: Server, **behaviour: float) -> Server:
    """Return the server behind unspool's own proxy in a separate process: `delay` (seconds each way), `bandwidth`, ...

    All connections share the bandwidth, as on one link. The proxy's CPU time counts for neither side.
    """

    @contextmanager
    def serve(root: Path) -> Iterator[tuple[Process | None, str]]:
        settings = [f"{key}={value}" for key, value in behaviour.items()]
        with (
            server(root) as (process, address),
            running([*PROGRAMS, "serve_proxy", address, *settings], "ready", cwd=REPOSITORY) as (_, line),
        ):
            yield process, f"127.0.0.1:{line.split()[-1]}"

    return serve


@functools.cache
def tutorial_binary() -> str:
    """Build the Go program of the tutorial's design, once, and return its path."""
    out = REPOSITORY / "build" / "peers" / "tutorial"
    subprocess.run(["go", "build", "-o", str(out), "."], cwd=REPOSITORY / "bench" / "peers" / "tutorial", check=True)
    return str(out)


KEY, SECRET = "bench", "bench-secret"
"""The credentials of the object stores. They protect nothing."""


@contextmanager
def versitygw(directory: Path, bucket: str) -> Iterator[str]:
    """Run versitygw over a directory. Yields its URL."""
    (directory / bucket).mkdir(parents=True)
    port = _free_port()
    options = ["-a", KEY, "-s", SECRET, "-p", f"127.0.0.1:{port}", "-q", "--keep-alive"]
    with running([_store("versitygw"), *options, "posix", str(directory)]) as (process, _):
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def seaweedfs(directory: Path, bucket: str) -> Iterator[str]:
    """Run SeaweedFS, all of it in one process. Yields its URL."""
    directory.mkdir(parents=True)
    port = _free_port()
    ports = [f"-{name}.port={_free_port()}" for name in ("master", "volume", "filer", "webdav", "admin")]
    ports += [f"-{name}.port.grpc={_free_port()}" for name in ("master", "volume", "filer", "s3", "admin")]
    options = [f"-dir={directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={port}", f"-bucket={bucket}", *ports]
    options += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    environment = ["env", f"AWS_ACCESS_KEY_ID={KEY}", f"AWS_SECRET_ACCESS_KEY={SECRET}"]
    with running([*environment, _store("weed"), "mini", *options]) as (process, _):
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"


STORES: dict[str, Callable[[Path, str], AbstractContextManager[str]]] = {"versitygw": versitygw, "seaweedfs": seaweedfs}
"""The object stores by name, each with one bucket below a new directory. `make objects` installs them."""


def _store(name: str) -> str:
    return shutil.which(name, path=str(REPOSITORY / "build" / "objects" / "bin")) or name


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(port: int, process: Process) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if not Path(f"/proc/{process.pid}").exists():
                raise
        else:
            return
