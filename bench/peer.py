"""The peers: how each serves a directory and how its client gets one file of it, as whole processes."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Process, running

REPOSITORY = Path(__file__).parent.parent

Serving = tuple[Process | None, Callable[[str, Path], Sequence[str]]]
"""A server, and the command that gets a name to a path from it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to move a file.

    Attributes:
        needs: programs (or Python modules, with a dot before the name) that must be there.
        serve: serves a directory for the length of a `with`.
    """

    name: str
    needs: tuple[str, ...]
    serve: Callable[[Path], object]

    def missing(self) -> str | None:
        """Return what is not installed, or None."""
        for need in self.needs:
            there = importlib.util.find_spec(need[1:]) if need.startswith(".") else program(need)
            if there is None:
                return need.lstrip(".")
        return None


def program(name: str) -> str | None:
    """Return where a program is: on the path, or installed beside Python itself."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


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


@contextmanager
def _cp(root: Path) -> Iterator[Serving]:
    yield None, lambda name, out: ["cp", str(root / name), str(out)]


def _program(name: str) -> Callable[[Path], object]:
    @contextmanager
    def serve(root: Path) -> Iterator[Serving]:
        python = [sys.executable, "-m", "bench.programs"]
        with running([*python, f"serve_{name}", str(root)], "ready", cwd=REPOSITORY) as (process, line):
            port = line.split()[-1]
            yield process, lambda file, out: [*python, f"get_{name}", port, file, str(out)]

    return serve


def _unspool(*options: str) -> Callable[[Path], object]:
    @contextmanager
    def serve(root: Path) -> Iterator[Serving]:
        unspool = [sys.executable, "-m", "unspool"]
        with running([*unspool, "serve", str(root), "--listen", "127.0.0.1:0", "-q"], "serving") as (process, line):
            address = line.split()[-1]
            yield process, lambda name, out: [*unspool, "get", "-q", *options, f"{address}/{name}", str(out)]

    return serve


def _nginx(client: Callable[[str, Path], Sequence[str]]) -> Callable[[Path], object]:
    @contextmanager
    def serve(root: Path) -> Iterator[Serving]:
        with tempfile.TemporaryDirectory() as scratch:
            port = _free_port()
            config = Path(scratch) / "nginx.conf"
            config.write_text(
                f"daemon off; user root; worker_processes 2; pid {scratch}/pid; error_log /dev/null;"
                f"events {{ worker_connections 512; }}"
                f"http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {scratch};"
                f"proxy_temp_path {scratch}; fastcgi_temp_path {scratch}; uwsgi_temp_path {scratch}; scgi_temp_path {scratch};"
                f"server {{ listen 127.0.0.1:{port}; root {root}; autoindex on; }} }}"
            )
            with running(["nginx", "-p", scratch, "-c", str(config)]) as (process, _):
                _wait_for(port, process)
                yield process, lambda name, out: client(f"http://127.0.0.1:{port}/{name}", out)

    return serve


def _aria2(url: str, out: Path) -> Sequence[str]:
    options = ["-q", "-x4", "-s4", "--file-allocation=none", "--allow-overwrite=true", "--disable-ipv6"]
    return ["aria2c", *options, "-d", str(out.parent), "-o", out.name, url]


@contextmanager
def _rsync(root: Path) -> Iterator[Serving]:
    with tempfile.TemporaryDirectory() as scratch:
        port = _free_port()
        config = Path(scratch) / "rsyncd.conf"
        config.write_text(f"use chroot = no\nuid = root\n[root]\npath = {root}\nread only = yes\n")
        command = ["rsync", "--daemon", "--no-detach", "--address=127.0.0.1", f"--port={port}", f"--config={config}"]
        with running(command) as (process, _):
            _wait_for(port, process)
            yield process, lambda name, out: ["rsync", "-W", f"rsync://127.0.0.1:{port}/root/{name}", str(out)]


def _tutorial(chunk_size: int) -> Callable[[Path], object]:
    @contextmanager
    def serve(root: Path) -> Iterator[Serving]:
        binary = tutorial_binary()
        command = [binary, "serve", "--root", str(root), "--listen", "127.0.0.1:0", "--chunk-size", str(chunk_size)]
        with running(command, "listening") as (process, line):
            address = line.split()[-1]
            yield process, lambda name, out: [binary, "get", "--addr", address, "--name", name, "--out", str(out)]

    return serve


@contextmanager
def _demo(root: Path) -> Iterator[Serving]:
    """The Go client of the tutorial, served by unspool."""
    binary = tutorial_binary()
    unspool = [sys.executable, "-m", "unspool"]
    with running([*unspool, "serve", str(root), "--listen", "127.0.0.1:0", "-q"], "serving") as (process, line):
        address = line.split()[-1]
        yield process, lambda name, out: [binary, "get", "--addr", address, "--name", name, "--out", str(out)]


def tutorial_binary() -> str:
    """Build the Go program of the tutorial's design, and return where it is."""
    out = REPOSITORY / "build" / "peers" / "tutorial"
    subprocess.run(["go", "build", "-o", str(out), "."], cwd=REPOSITORY / "bench" / "peers" / "tutorial", check=True)
    return str(out)


PEERS = [
    Peer("cp", ("cp",), _cp),
    Peer("raw TCP (sendfile)", (), _program("tcp")),
    Peer("raw gRPC, 1 MiB, unchecked", (), _program("grpc")),
    Peer("unspool", (), _unspool()),
    Peer("nginx + curl", ("nginx", "curl"), _nginx(lambda url, out: ["curl", "-sS", "-o", str(out), url])),
    Peer("nginx + aria2c -x4", ("nginx", "aria2c"), _nginx(_aria2)),
    Peer(
        "nginx + rclone",
        ("nginx", "rclone"),
        _nginx(lambda url, out: [str(program("rclone")), "copyurl", "--config", "/dev/null", url, str(out)]),
    ),
    Peer("rsync daemon", ("rsync",), _rsync),
    Peer("Arrow Flight, 1 MiB", (".pyarrow",), _program("flight")),
    Peer("tutorial in Go, 32 KiB", ("go",), _tutorial(32 * 1024)),
    Peer("tutorial in Go, 1 MiB", ("go",), _tutorial(1 << 20)),
    Peer("unspool's demo.Files + Go client", ("go",), _demo),
]
