"""Addresses of files, `[unspool://]HOST:PORT/NAME`, `unspools://...` or `unix:PATH:/NAME`, and those a server listens on.

Several servers that serve the same files are written as a list, `HOST:PORT,HOST:PORT/NAME`, or as a name that stands for all of
them, `dns:///HOST:PORT/NAME`.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import quote, unquote

from unspool.core.value import value
from unspool.errors import InvalidRequestError

SCHEME = "unspool://"

SECURE_SCHEME = "unspools://"
"""The scheme of a connection over TLS."""

DEFAULT_PORT = 50051
"""The port where none is given: the one of the tutorial and of gRPC's examples."""


_OF_GRPC = re.compile(r"(?:unix|unix-abstract|vsock|dns|ipv4|ipv6|xds):(?![0-9]+$)")
"""Prefixes of the target names that gRPC itself resolves. A host may also be called `dns`; then a port number follows."""


_DNS = "dns:///"
"""Begins a target whose host stands for several servers: one at each of its addresses."""

_XDS = "xds:///"
"""Begins a target that gRPC looks up in a control plane."""

_UNIX = re.compile(r"unix:(?![0-9]{1,5}(?:/|$))")
"""Begins the address of a Unix socket. A host may also be called `unix`; then a port number follows."""

_NAME_FOLLOWS = ":/"
"""Separates the path of a Unix socket from a name on its server, as in nginx's `proxy_pass`."""

_ONE_SERVER = r"(?:[^/:\[\],]+|\[[^/\[\],]*:[^/\[\],]*\]):[0-9]{1,5}"
"""A host and a port, both required. An IPv6 host is in brackets and contains a colon."""

_SERVER = f"{_ONE_SERVER}(?:,{_ONE_SERVER})*"
"""One server, or a list."""


@value
class Address:
    """A server and a name on it, which may be empty.

    Attributes:
        target: `HOST:PORT`, a list of these, `dns:///HOST:PORT` or `xds:///SERVICE`, over TLS with `unspools://` before it; or
            `unix:PATH`.
        name: literal; nothing is percent-decoded.
    """

    target: str
    name: str

    def __str__(self) -> str:
        return f"{self.target}{_NAME_FOLLOWS if _UNIX.match(self.target) else '/'}{self.name}"


def is_url(text: str) -> bool:
    """Whether a text is a URL of a file and not a path: it begins with a scheme, or with a server and a name."""
    if _UNIX.match(text):
        return _NAME_FOLLOWS in text.removeprefix("unix:")
    return has_scheme(text) or re.match(f"{_SERVER}/.", text, re.DOTALL) is not None


def has_scheme(text: str) -> bool:
    """Whether a text begins with one of the two schemes, or with those of names that stand for several servers."""
    return text.startswith((SCHEME, SECURE_SCHEME, _DNS, _XDS))


def is_server(text: str) -> bool:
    """Whether a text is `HOST:PORT` or `unix:PATH` and nothing else."""
    if _UNIX.match(text):
        return _NAME_FOLLOWS not in text.removeprefix("unix:")
    return re.fullmatch(_SERVER, text) is not None


def parse_address(text: str) -> Address:
    """Parse `[unspool://]HOST[:PORT][/NAME]`, the same after `unspools://`, or `unix:PATH[:/NAME]`.

    In place of `HOST[:PORT]` there may be a list, separated by commas, or `dns:///HOST[:PORT]` or `xds:///SERVICE`. An IPv6
    host is in brackets. The path of a Unix socket is percent-decoded, as in gRPC's target names, and ends at the first `:/`.

    Raises:
        InvalidRequestError: the text has another form.
    """
    _check_text(text)
    if _UNIX.match(text):
        path, _, name = text.removeprefix("unix:").partition(_NAME_FOLLOWS)
        return Address(str(_parse_unix(f"unix:{path}", text)), name)
    scheme = SECURE_SCHEME if text.startswith(SECURE_SCHEME) else ""
    rest = text.removeprefix(scheme or SCHEME)
    if kind := next((kind for kind in (_DNS, _XDS) if rest.startswith(kind)), ""):
        host, _, name = rest.removeprefix(kind).partition("/")
        if kind == _XDS and not host:
            raise InvalidRequestError(f"{text!r} does not name a service: write {_XDS}SERVICE/NAME")
        return Address(scheme + kind + (host if kind == _XDS else parse_target(host, text)), name)
    host, slash, name = rest.partition("/")
    if host.endswith(":") and slash and name.startswith("/"):
        raise InvalidRequestError(
            f"{text!r}: not a scheme of ours; write HOST:PORT/NAME, {SCHEME}HOST:PORT/NAME, or {SECURE_SCHEME}HOST:PORT/NAME"
        )
    servers = dict.fromkeys(parse_target(one, text) for one in host.split(","))
    return Address(scheme + ",".join(servers), name)


def servers_of(target: str) -> tuple[str, ...]:
    """Return the servers of a list (a target as `parse_server` returns it), each as a target of its own."""
    if _is_of_one(target):
        return (target,)
    scheme = SECURE_SCHEME if target.startswith(SECURE_SCHEME) else ""
    return tuple(scheme + server for server in target.removeprefix(scheme).split(","))


def _is_of_one(target: str) -> bool:
    """Whether a comma in a target is no separator, because gRPC resolves it by itself."""
    return _OF_GRPC.match(target.removeprefix(SECURE_SCHEME)) is not None


def host_with_several_addresses(target: str) -> tuple[str, int] | None:
    """Return the host and the port of a target `dns:///HOST:PORT`, whose addresses are a server each; None for another one."""
    rest = target.removeprefix(SECURE_SCHEME)
    if not rest.startswith(_DNS):
        return None
    host, _, port = parse_target(rest.removeprefix(_DNS)).rpartition(":")
    return host.strip("[]"), int(port)


def parse_server(text: str) -> str:
    """Parse `[unspool://]HOST[:PORT]`, or a list of several, and return `HOST:PORT`, or the same with `unspools://`.

    A gRPC target name (`unix:PATH`) is returned unchanged.

    Raises:
        InvalidRequestError: the text has another form.
    """
    _check_text(text)
    if _OF_GRPC.match(text):
        return text
    address = parse_address(text.removesuffix("/"))
    if address.name:
        raise InvalidRequestError(f"{text!r}: a server is named without a file: {address.target}")
    return address.target


def is_loopback(target: str) -> bool:
    """Whether a target (as `parse_server` returns it) is on this machine, judged by name: loopback, or a unix socket.

    A list is on this machine if all its servers are.
    """
    servers = servers_of(target)
    if len(servers) > 1:
        return all(map(is_loopback, servers))
    target = target.removeprefix(SECURE_SCHEME)
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
    """Parse `HOST[:PORT]` and return `HOST:PORT`. Error messages quote `shown`, which is `text` if not given.

    Raises:
        InvalidRequestError: the text has another form.
    """
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


@value
class HostPort:
    """A TCP port on all addresses of a host. An IPv6 host is in brackets. Port 0 means any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@value
class UnixSocket:
    """A Unix socket in the file system. `str()` gives its gRPC target name, which clients connect to."""

    path: str

    def __str__(self) -> str:
        return f"unix:{quote(self.path)}"


Listen: TypeAlias = HostPort | UnixSocket
"""An address that a server listens on."""

EVERYWHERE = "[::]"
"""The host that stands for all interfaces, IPv6 and IPv4."""

_ONLY_A_PORT = re.compile(r":?([0-9]+)")


def parse_listen(text: str) -> Listen:
    """Parse an address to listen on.

    `HOST[:PORT]` is a port on every address of the host. `PORT` and `:PORT` are a port on all interfaces, as in nginx and Go.
    `unix:PATH` and `unix:///PATH` are a Unix socket. The path is percent-decoded, as in gRPC's target names.

    Raises:
        InvalidRequestError: the text has another form.
    """
    if text.startswith("unix:"):
        return _parse_unix(text, text)
    only_a_port = _ONLY_A_PORT.fullmatch(text)
    try:
        host, _, port = parse_target(f"{EVERYWHERE}:{only_a_port[1]}" if only_a_port else text, text).rpartition(":")
    except InvalidRequestError:
        raise InvalidRequestError(
            f"{text!r} is not an address to listen on: write HOST:PORT, PORT for all interfaces, or unix:PATH"
        ) from None
    return HostPort(host, int(port))


def _parse_unix(text: str, shown: str) -> UnixSocket:
    rest = text.removeprefix("unix:")
    # In a gRPC target name an authority follows two slashes. A Unix socket has none, so the path begins with a third slash.
    path = unquote(rest.removeprefix("//"))
    if path in ("", "/") or "\0" in path or (rest.startswith("//") and not path.startswith("/")):
        raise InvalidRequestError(f"{shown!r} does not name a Unix socket: write unix:PATH or unix:///PATH")
    if any("\ud800" <= character <= "\udfff" for character in path):  # so Python writes bytes that are no text
        raise InvalidRequestError(f"{shown!r}: gRPC takes only paths in UTF-8")
    return UnixSocket(path)
