"""Addresses: `HOST:PORT/NAME`, read as it is written, or refused. And those that a server listens on."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.address import (
    DEFAULT_PORT,
    Address,
    HostPort,
    UnixSocket,
    is_loopback,
    is_server,
    is_url,
    parse_address,
    parse_listen,
    parse_target,
)
from unspool.errors import InvalidRequestError

HOSTS = st.sampled_from(["localhost", "127.0.0.1", "[::1]", "files.example.com", "a-b.c"])
NAMES = st.text(st.characters(codec="utf-8"), max_size=20)


@given(HOSTS, st.none() | st.integers(0, 65535), NAMES, st.booleans())
def test_addresses_are_read_as_they_are_written(host: str, port: int | None, name: str, scheme: bool) -> None:  # noqa: FBT001
    """HOST, the port if there is one, and the name exactly as it stands: nothing is decoded, nothing normalised."""
    text = ("unspool://" if scheme else "") + host + (f":{port}" if port is not None else "") + "/" + name
    assert parse_address(text) == Address(f"{host}:{DEFAULT_PORT if port is None else port}", name)


@given(HOSTS, st.integers(0, 65535), NAMES)
def test_an_address_shown_is_an_address(host: str, port: int, name: str) -> None:
    """Parsing the string form of an address gives the same address."""
    address = Address(f"{host}:{port}", name)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "target", "name"),
    [
        ("unix:/run/x.sock:/a/b.bin", "unix:/run/x.sock", "a/b.bin"),
        ("unix:///run/x.sock:/a", "unix:/run/x.sock", "a"),
        ("unix:x.sock:/a:/b", "unix:x.sock", "a:/b"),
        ("unix:/a%3A/b:/c%41", "unix:/a%3A/b", "c%41"),
        ("unix:/run/x.sock:/", "unix:/run/x.sock", ""),
        ("unix:/run/x.sock", "unix:/run/x.sock", ""),
    ],
)
def test_a_name_on_a_unix_socket_follows_a_colon_and_a_slash(text: str, target: str, name: str) -> None:
    """The path ends at the first `:/`; what follows is the name, taken literally."""
    address = parse_address(text)
    assert address == Address(target, name)
    assert parse_address(str(address)) == address
    assert is_url(text) == (":/" in text.removeprefix("unix:"))
    assert is_server(text) == (not is_url(text))


def test_a_host_may_be_called_unix() -> None:
    """A port number after `unix:` makes it a host."""
    assert parse_address("unix:50051/a") == Address("unix:50051", "a")
    assert str(Address("unix:50051", "a")) == "unix:50051/a"
    assert is_url("unix:50051/a")
    assert is_server("unix:50051")


@pytest.mark.parametrize("text", ["unix:", "unix:/", "unix:///", "unix://run/x.sock:/a", "unix:/a%00:/b"])
def test_an_address_without_a_socket_is_refused(text: str) -> None:
    """A URL of a Unix socket that names none is refused, with an example."""
    with pytest.raises(InvalidRequestError, match="unix:PATH"):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/a", ":50051", "host:", "host:x", "host:65536", "host:-1", "host:+1", "host:\u0663", "host:" + "9" * 5000),
        *("http://host/a", "unspool:///a", "::1", "[::1", "[::1]50051", "[]:1", "host:1:2"),
    ],
)
def test_what_is_no_address_is_said_to_be_none(text: str) -> None:
    """A text that names no server is refused with an example of a valid one."""
    with pytest.raises(InvalidRequestError, match="HOST:PORT"):
        parse_address(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is an address or an InvalidRequestError."""
    for parse in (parse_address, parse_target, parse_listen):
        with suppress(InvalidRequestError):
            parse(text)


@pytest.mark.parametrize(
    ("target", "loopback"),
    [
        *(
            (target, True)
            for target in ("localhost:1", "LOCALHOST:1", "a.localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1")
        ),
        *((target, True) for target in ("unix:/run/x.sock", "unix-abstract:x")),
        *(
            (target, False)
            for target in ("10.0.0.1:1", "[::2]:1", "localhost.example.com:1", "dns:localhost:1", "127.0.0.1.x:1")
        ),
    ],
)
def test_whether_a_target_is_on_this_machine(target: str, loopback: bool) -> None:  # noqa: FBT001
    """Loopback is told by the name alone, without asking a resolver."""
    assert is_loopback(target) is loopback


# Where a server listens


@given(HOSTS, st.none() | st.integers(0, 65535))
def test_a_host_to_listen_on_is_read_as_a_servers_address(host: str, port: int | None) -> None:
    """`HOST:PORT` means the same to a server and to its clients, and parsing its string form gives the same address."""
    text = host + (f":{port}" if port is not None else "")
    listen = parse_listen(text)
    assert listen == HostPort(host, DEFAULT_PORT if port is None else port)
    assert str(listen) == parse_target(text)
    assert parse_listen(str(listen)) == listen


@given(st.integers(0, 65535), st.sampled_from(["", ":"]))
def test_a_port_alone_is_on_all_interfaces(port: int, colon: str) -> None:
    """`:PORT` and `PORT` are the wildcard address at that port."""
    assert parse_listen(f"{colon}{port}") == HostPort("[::]", port)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_unix_socket_is_named_as_grpc_names_it(text: str) -> None:
    """Parsing the gRPC name of a Unix socket gives its path, whatever the path, and also with two slashes before it."""
    path = f"/{text.lstrip('/')}x"
    assert parse_listen(str(UnixSocket(path))) == UnixSocket(path)
    assert parse_listen(f"unix://{str(UnixSocket(path)).removeprefix('unix:')}") == UnixSocket(path)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("unix:///run/x.sock", "/run/x.sock"),
        ("unix:/run/x.sock", "/run/x.sock"),
        ("unix:x.sock", "x.sock"),
        ("unix:a%20b", "a b"),
    ],
)
def test_the_forms_of_a_unix_socket(text: str, path: str) -> None:
    """Absolute, relative and with an escape: as gRPC reads them."""
    assert parse_listen(text) == UnixSocket(path)


@pytest.mark.parametrize("text", ["unix:", "unix://", "unix:///", "unix:/", "unix://run/x.sock", "unix:/a%00b"])
def test_what_names_no_unix_socket_is_refused(text: str) -> None:
    """A missing path, or a relative path after two slashes, is refused with an example of a valid address."""
    with pytest.raises(InvalidRequestError, match="unix:PATH"):
        parse_listen(text)


@pytest.mark.parametrize(
    "text", ["", ":", "65536", ":65536", "123456", "host:", "host:x", "::1", "[::1", "unix-abstract:x", "dns:///a:1"]
)
def test_what_is_no_address_to_listen_on_is_refused(text: str) -> None:
    """An invalid address is refused with an example of each valid kind."""
    with pytest.raises(InvalidRequestError, match="HOST:PORT, PORT for all interfaces, or unix:PATH"):
        parse_listen(text)


def test_a_socket_whose_path_is_no_text_is_refused() -> None:
    """Bytes that are not UTF-8 reach us as surrogates, and gRPC takes none: an error of ours, not of Python's codecs."""
    for parse in (parse_address, parse_listen):
        with pytest.raises(InvalidRequestError, match="only paths in UTF-8"):
            parse("unix:/run/\udc80")
