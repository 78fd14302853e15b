"""Security of connections: what a target says, what a server's addresses say, and where secrets may go."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.address import Address, HostPort, UnixSocket, has_scheme, is_loopback, is_url, parse_address, parse_server
from unspool.core.tls import (
    Listener,
    is_secure,
    is_secure_peer,
    is_tls,
    parse_listeners,
    with_tls,
    without_scheme,
)
from unspool.errors import InvalidRequestError


def test_a_url_says_that_it_is_over_tls() -> None:
    """`unspools://` is kept in the target, with the default port, and what an address says of itself leads back to it."""
    address = parse_address("unspools://files.example/a/b.bin")
    assert address == Address("unspools://files.example:50051", "a/b.bin")
    assert str(address) == "unspools://files.example:50051/a/b.bin"
    assert parse_address(str(address)) == address
    assert parse_server("unspools://files.example") == address.target
    assert is_tls(address.target)
    assert not is_tls(parse_server("unspool://files.example"))
    assert is_url("unspools://files.example/a")
    assert has_scheme("unspools://x")


@pytest.mark.parametrize("text", ["unspools:///a", "unspools://", "unspoolt://a/b", "unspools://unspool://a"])
def test_what_is_no_url_is_refused(text: str) -> None:
    """What does not name a server is refused, with the secure scheme too."""
    with pytest.raises(InvalidRequestError, match="HOST:PORT"):
        parse_address(text)


def test_tls_is_said_once() -> None:
    """A target over TLS stays what it is; gRPC gets it without the scheme; a Unix socket has none."""
    assert with_tls("a:1") == with_tls(with_tls("a:1")) == "unspools://a:1"
    assert without_scheme(with_tls("a:1")) == without_scheme("a:1") == "a:1"
    with pytest.raises(InvalidRequestError, match="a Unix socket has no TLS"):
        with_tls("unix:/run/x.sock")


@pytest.mark.parametrize(
    ("target", "secure"),
    [
        *(
            (target, True)
            for target in ("unspools://files.example:1", "localhost:1", "[::1]:1", "unix:/x", "unspools://[::1]:1")
        ),
        *((target, False) for target in ("files.example:1", "10.0.0.1:1", "dns:files.example")),
    ],
)
def test_where_a_client_may_send_a_secret(target: str, *, secure: bool) -> None:
    """Over TLS, to loopback and to a Unix socket; nowhere else."""
    assert is_secure(target) is secure


@pytest.mark.parametrize(
    ("address", "local"),
    [
        *((peer, True) for peer in ("ipv4:127.0.0.1:5", "ipv6:%5B::1%5D:5", "ipv6:[::1]:5", "unix:", "unix:/run/x.sock")),
        *((peer, False) for peer in ("ipv4:10.0.0.1:5", "ipv6:%5B2001:db8::1%5D:5", "unknown", "")),
    ],
)
def test_from_where_a_server_may_take_a_secret(address: str, *, local: bool) -> None:
    """From this machine in clear, from elsewhere over TLS only."""
    assert is_secure_peer(address, tls=False) is local
    assert is_secure_peer(address, tls=True)


def test_a_loopback_address_is_one_over_tls_too() -> None:
    """The scheme does not hide the host."""
    assert is_loopback("unspools://127.0.0.1:1")
    assert not is_loopback("unspools://files.example:1")


PORT = HostPort("127.0.0.1", 1)


@pytest.mark.parametrize(
    ("text", "cert", "client_ca", "mode"),
    [
        ("127.0.0.1:1", False, False, "plain"),
        ("127.0.0.1:1", True, False, "tls"),
        ("127.0.0.1:1", True, True, "mtls"),
    ],
)
def test_a_port_has_what_there_are_files_for(text: str, *, cert: bool, client_ca: bool, mode: str) -> None:
    """Without a word before it, a port has mutual TLS, TLS or nothing, by the files that are given."""
    assert parse_listeners([text], cert=cert, client_ca=client_ca) == (Listener(PORT, mode),)  # type: ignore[arg-type]


def test_each_address_has_its_own_security() -> None:
    """`tls:`, `mtls:` and `plain:` say what an address has, whatever the files; a Unix socket is in clear."""
    texts = ["mtls:127.0.0.1:1", "tls:1", "plain:localhost", "unix:/x", "plain:unix:/y"]
    listeners = parse_listeners(texts, cert=True, client_ca=True)
    assert listeners == (
        Listener(PORT, "mtls"),
        Listener(HostPort("[::]", 1), "tls"),
        Listener(HostPort("localhost", 50051), "plain"),
        Listener(UnixSocket("/x"), "plain"),
        Listener(UnixSocket("/y"), "plain"),
    )
    assert parse_listeners([str(each) for each in listeners], cert=True, client_ca=True) == listeners
    assert [each.address(7) for each in listeners] == [
        *("unspools://127.0.0.1:7", "unspools://[::]:7", "localhost:7", "unix:/x", "unix:/y")
    ]


@pytest.mark.parametrize(
    ("texts", "cert", "client_ca", "said"),
    [
        ([], False, False, "needs an address"),
        (["tls:1"], False, False, "needs a certificate"),
        (["mtls:1"], True, False, "needs the authority of the clients"),
        (["1"], False, True, "give the server's own certificate"),
        (["plain:1", "unix:/x"], True, False, "no address is served over TLS"),
        (["tls:1"], True, True, "no address asks for client certificates"),
        (["tls:unix:/x"], True, False, "a Unix socket has no TLS"),
        (["tls:nope:x"], True, False, "HOST:PORT"),
    ],
)
def test_addresses_that_do_not_fit_the_files_are_refused(texts: list[str], said: str, *, cert: bool, client_ca: bool) -> None:
    """An address without the files it needs, and files that no address uses, are each one clear error."""
    with pytest.raises(InvalidRequestError, match=said):
        parse_listeners(texts, cert=cert, client_ca=client_ca)


@given(st.text(), st.booleans(), st.booleans())
def test_no_text_breaks_the_parsers(text: str, cert: bool, client_ca: bool) -> None:  # noqa: FBT001
    """Any text is a listener, a peer or an InvalidRequestError."""
    with suppress(InvalidRequestError):
        parse_listeners([text], cert=cert, client_ca=client_ca)
    is_secure_peer(text, tls=False)
    is_secure(text)
