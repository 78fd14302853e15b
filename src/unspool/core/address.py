"""Where a file is: `HOST:PORT/NAME`, or the same after `unspool://`. And where a server listens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import quote, unquote

from unspool.errors import InvalidRequestError

SCHEME = "unspool://"

DEFAULT_PORT = 50051
"""Where a server listens unless told otherwise: the port of the tutorial, and of gRPC's examples."""


_OF_GRPC = re.compile(r"(?:unix|unix-abstract|vsock|dns|ipv4|ipv6|xds):(?![0-9]+$)")
"""How names begin that gRPC resolves by itself. A host may be called `dns`, too, but then a port follows."""


_SERVER = r"(?:[^/:\[\]]+|\[[^/\[\]]*:[^/\[\]]*\]):[0-9]{1,5}"
"""A host and a port, both written out; an IPv6 host has brackets, and a colon in them."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server (`HOST:PORT`) and a name on it, which may be empty. The name stands as it is: nothing is percent-decoded."""

    target: str
    name: str

    def __str__(self) -> str:
        return f"{self.target}/{self.name}"


def is_url(text: str) -> bool:
    """Whether a text is a URL of a file rather than a path: it has the scheme, or a port and a name behind it."""
    return text.startswith(SCHEME) or re.match(f"{_SERVER}/.", text, re.DOTALL) is not None


def is_server(text: str) -> bool:
    """Whether a text is `HOST:PORT` and nothing else."""
    return re.fullmatch(_SERVER, text) is not None


def parse_address(text: str) -> Address:
    """Parse `[unspool://]HOST[:PORT][/NAME]`; an IPv6 host stands in brackets.

    Raises:
        InvalidRequestError: it is something else.
    """
    _check_text(text)
    rest = text.removeprefix(SCHEME)
    host, slash, name = rest.partition("/")
    if host.endswith(":") and slash and name.startswith("/"):
        raise InvalidRequestError(f"{text!r}: not a scheme of ours; write HOST:PORT/NAME or {SCHEME}HOST:PORT/NAME")
    return Address(parse_target(host, text), name)


def parse_server(text: str) -> str:
    """Return the target that a text names: `[unspool://]HOST[:PORT]`, or a name of gRPC's own (`unix:PATH`), as it stands.

    Raises:
        InvalidRequestError: it is something else.
    """
    _check_text(text)
    if _OF_GRPC.match(text):
        return text
    address = parse_address(text.removesuffix("/"))
    if address.name:
        raise InvalidRequestError(f"{text!r}: a server is named without a file: {address.target}")
    return address.target


def is_loopback(target: str) -> bool:
    """Whether a target, as `parse_server` returns it, is on this machine by its name alone: loopback, or a unix socket."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = target.rpartition(":")[0].strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise InvalidRequestError(f"{text!r} is not a string: a server is named by one, as localhost:{DEFAULT_PORT}")


def parse_target(text: str, shown: str | None = None) -> str:
    """Parse `HOST[:PORT]` and return `HOST:PORT`. Raises InvalidRequestError if it is something else."""
    shown = shown or text
    if text.startswith("["):
        host, bracket, after = text.partition("]")
        host += bracket
        port = after.removeprefix(":") if after else str(DEFAULT_PORT)
        good = bool(bracket) and (not after or after.startswith(":"))
    else:
        host, colon, port = text.partition(":")
        port = port if colon else str(DEFAULT_PORT)
        good = True
    if not good or not host.strip("[]") or not (re.fullmatch("[0-9]{1,5}", port) and int(port) < 1 << 16):
        raise InvalidRequestError(f"{shown!r} does not name a server: write HOST:PORT, as in localhost:{DEFAULT_PORT}")
    return f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class HostPort:
    """A TCP port on the addresses of a host; an IPv6 host stands in brackets. Port 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A Unix socket in the file system. `str` gives gRPC's name for it, which clients use too."""

    path: str

    def __str__(self) -> str:
        return f"unix:{quote(self.path)}"


Listen: TypeAlias = HostPort | UnixSocket
"""Where a server listens."""

EVERYWHERE = "[::]"
"""The host that stands for all interfaces, IPv6 and IPv4."""

_ONLY_A_PORT = re.compile(r":?([0-9]+)")


def parse_listen(text: str) -> Listen:
    """Parse where a server is to listen.

    `HOST[:PORT]` is a port on every address of the host. `PORT` and `:PORT` are a port on all interfaces, as in nginx and Go.
    `unix:PATH` and `unix:///PATH` are a Unix socket; as in gRPC's own names, `%` and two digits stand for a byte.

    Raises:
        InvalidRequestError: it is something else.
    """
    if text.startswith("unix:"):
        rest = text.removeprefix("unix:")
        # After two slashes gRPC would read the name of a machine; there is none, so a third slash begins the path.
        path = unquote(rest.removeprefix("//"))
        if path in ("", "/") or "\0" in path or (rest.startswith("//") and not path.startswith("/")):
            raise InvalidRequestError(f"{text!r} does not name a Unix socket: write unix:PATH or unix:///PATH")
        return UnixSocket(path)
    only_a_port = _ONLY_A_PORT.fullmatch(text)
    try:
        host, _, port = parse_target(f"{EVERYWHERE}:{only_a_port[1]}" if only_a_port else text, text).rpartition(":")
    except InvalidRequestError:
        raise InvalidRequestError(
            f"{text!r} is not an address to listen on: write HOST:PORT, PORT for all interfaces, or unix:PATH"
        ) from None
    return HostPort(host, int(port))
