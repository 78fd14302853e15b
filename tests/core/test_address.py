"""Addresses: `HOST:PORT/NAME`, read as it is written, or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.address import DEFAULT_PORT, Address, is_loopback, parse_address, parse_target
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
    """What an address says of itself leads back to it."""
    address = Address(f"{host}:{port}", name)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "/a", ":50051", "host:", "host:x", "host:65536", "host:-1", "host:+1", "host:\u0663", "host:" + "9" * 5000),
        *("http://host/a", "unspool:///a", "::1", "[::1", "[::1]50051", "[]:1", "host:1:2"),
    ],
)
def test_what_is_no_address_is_said_to_be_none(text: str) -> None:
    """What does not name a server is refused with an example of what would."""
    with pytest.raises(InvalidRequestError, match="HOST:PORT"):
        parse_address(text)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is an address or an InvalidRequestError."""
    for parse in (parse_address, parse_target):
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
