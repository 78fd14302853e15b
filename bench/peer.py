"""The peers: what each requires, its server, and its client's command."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench import servers
from bench.servers import PROGRAMS, UNSPOOL, Server

Get: TypeAlias = Callable[[str, str, Path], Sequence[str]]
"""Returns the command that downloads a name from a server's HOST:PORT to a path."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to transfer a file or a tree.

    Attributes:
        needs: the requirements: programs; Python modules, with a dot before the name; options of unspool, such as
            `unspool get --jobs`.
        server: serves a directory.
        get: returns the client's command.
    """

    name: str
    needs: tuple[str, ...]
    server: Server
    get: Get

    def missing(self) -> str | None:
        """Return the first requirement that is missing, or None."""
        return next((need.lstrip(".") for need in self.needs if not _is_there(need)), None)


def _is_there(need: str) -> bool:
    if need.startswith("unspool "):
        return has_option(*need.split()[1:])
    if need.startswith("."):
        return importlib.util.find_spec(need[1:]) is not None
    return program(need) is not None


def has_option(command: str, option: str) -> bool:
    """Whether one of unspool's commands has an option."""
    from unspool.cli import main

    return any(option in parameter.opts for parameter in main.every_command[command].params)


def program(name: str) -> str | None:
    """Return the path of a program: from PATH, or beside the Python interpreter."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def unspool_get(*options: str) -> Get:
    """`unspool get` with any options."""
    return lambda address, name, out: [*UNSPOOL, "get", "-q", *options, f"{address}/{name}", str(out)]


def curl_get(*options: str, scheme: str = "http://") -> Get:
    """`curl`, one connection."""
    return lambda address, name, out: ["curl", "-sS", "--fail", *options, "-o", str(out), f"{scheme}{address}/{name}"]


def _aria2(address: str, name: str, out: Path) -> Sequence[str]:
    options = ["-q", "-x4", "-s4", "--file-allocation=none", "--allow-overwrite=true", "--disable-ipv6"]
    return ["aria2c", *options, "-d", str(out.parent), "-o", out.name, f"http://{address}/{name}"]


def _rclone(address: str, name: str, out: Path) -> Sequence[str]:
    return [str(program("rclone")), "copyurl", "--config", "/dev/null", f"http://{address}/{name}", str(out)]


def _rsync(address: str, name: str, out: Path) -> Sequence[str]:
    return ["rsync", "-W", f"rsync://{address}/root/{name}", str(out)]


def _program(name: str) -> Get:
    return lambda address, file, out: [*PROGRAMS, f"get_{name}", address.rpartition(":")[2], file, str(out)]


def go_get(address: str, name: str, out: Path) -> Sequence[str]:
    """The Go client of the tutorial."""
    return [servers.tutorial_binary(), "get", "--addr", address, "--name", name, "--out", str(out)]


def _ours(name: str, *options: str) -> Peer:
    return Peer(name, tuple(f"unspool get {option}" for option in options[::2]), servers.unspool(), unspool_get(*options))


JOBS: dict[str, tuple[str, ...]] = {
    "unspool": (),
    "unspool --jobs 1": ("--jobs", "1"),
    "unspool --jobs 2": ("--jobs", "2"),
    "unspool --jobs 4": ("--jobs", "4"),
}
"""The ways to run `unspool get`, with their options. Without options it chooses the number of streams itself."""

OURS = [_ours(name, *options) for name, options in JOBS.items()]

_JOBS_AND_WORKERS = Peer(
    "unspool --jobs 2, serve --workers 2",
    ("unspool get --jobs",),
    servers.unspool("--workers", "2"),
    unspool_get("--jobs", "2"),
)

CP = Peer("cp", ("cp",), servers.local, lambda root, name, out: ["cp", f"{root}/{name}", str(out)])

CURL = Peer("nginx + curl", ("nginx", "curl"), servers.nginx, curl_get())

PEERS = [
    CP,
    Peer("raw TCP (sendfile)", (), servers.program("tcp"), _program("tcp")),
    Peer("raw gRPC, 1 MiB, unchecked", (), servers.program("grpc"), _program("grpc")),
    *OURS,
    _JOBS_AND_WORKERS,
    CURL,
    Peer("nginx + aria2c -x4", ("nginx", "aria2c"), servers.nginx, _aria2),
    Peer("nginx + rclone", ("nginx", "rclone"), servers.nginx, _rclone),
    Peer("rsync daemon", ("rsync",), servers.rsync, _rsync),
    Peer("Arrow Flight, 1 MiB", (".pyarrow",), servers.program("flight"), _program("flight")),
    Peer("tutorial in Go, 32 KiB", ("go",), servers.tutorial(32 * 1024), go_get),
    Peer("tutorial in Go, 1 MiB", ("go",), servers.tutorial(1 << 20), go_get),
    Peer("unspool's demo.Files + Go client", ("go",), servers.unspool(), go_get),
]
