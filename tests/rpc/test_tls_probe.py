"""The probe that explains TLS failures, against servers that send alerts, hang up, or do not speak TLS."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from authority import Authority
from listening import listening
from unspool.errors import TlsError, UnauthenticatedError
from unspool.rpc.certificates import Certificates
from unspool.rpc.tlsprobe import find_fault


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return an authority."""
    return Authority(tmp_path)


def by_openssl(authority: Authority, version: ssl.TLSVersion) -> Callable[[socket.socket], None]:
    """Return a function that serves connections, asks for client certificates and sends alerts, as OpenSSL does."""
    pair = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.load_cert_chain(pair.cert, pair.key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])

    def treat(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(bytes(9))
            secure.recv(100)

    return treat


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_alerts_are_understood(authority: Authority, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Alerts before or after the handshake are explained: the client certificate is missing, or is of another authority."""
    stranger = Authority(tmp_path, "other").issue("stranger", "me@example.com")
    friend = authority.issue("friend", "me@example.com")
    with listening(by_openssl(authority, version)) as address:
        target = f"unspools://{address}"
        missing = find_fault(target, Certificates(authority.file))
        assert isinstance(missing, UnauthenticatedError)
        assert "the server wants a client certificate (" in missing.message
        refused = find_fault(target, Certificates(authority.file, stranger.cert, stranger.key))
        assert isinstance(refused, UnauthenticatedError)
        assert f"the server refuses the client certificate in {stranger.cert} (unknown ca)" in refused.message
        assert find_fault(target, Certificates(authority.file, friend.cert, friend.key)) is None
        clear = find_fault(address, None)
        assert isinstance(clear, TlsError)
        assert f"write {target}" in clear.message


WORDS = {"nothing": b"", "HTTP/1": b"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH": b"SSH-2.0-OpenSSH_9.9\r\n", "zeros": bytes(50)}


@pytest.mark.parametrize("words", WORDS)
def test_what_is_no_tls_server_is_not_taken_for_one(authority: Authority, words: str) -> None:
    """Without TLS the probe finds nothing; over TLS it reports a server that answers something else, not one that hangs up."""

    def treat(connection: socket.socket) -> None:
        connection.sendall(WORDS[words])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    with listening(treat) as address:
        assert find_fault(address, None) is None
        fault = find_fault(f"unspools://{address}", Certificates(authority.file))
    assert (fault is None) == (words == "nothing")
    if fault is not None:
        assert "does not use TLS" in fault.message
        assert f"write unspool://{address} for a connection in clear" in fault.message


@pytest.mark.parametrize("tls", [True, False])
def test_a_silent_server_costs_a_second(authority: Authority, *, tls: bool) -> None:
    """If a server accepts the connection and sends nothing, the probe ends soon and finds nothing."""
    done = threading.Event()

    def treat(_: socket.socket) -> None:
        done.wait(10)

    with listening(treat) as address:
        target, certificates = (f"unspools://{address}", Certificates(authority.file)) if tls else (address, None)
        try:
            seconds = [timed(lambda: find_fault(target, certificates)) for _ in range(3)]
        finally:
            done.set()
    assert min(seconds) < 1.5  # on a busy machine one may take longer


def timed(probe: Callable[[], object]) -> float:
    """Return how many seconds a probe without a result takes."""
    began = time.monotonic()
    assert probe() is None
    return time.monotonic() - began


@pytest.mark.parametrize("target", ["dns:///files.example:1", "unix:/run/x", "127.0.0.1:1", "unspools://127.0.0.1:1"])
def test_where_nothing_can_be_asked_nothing_is_said(authority: Authority, target: str) -> None:
    """For a target that gRPC resolves by itself, and for a port where no server listens, the fault is not TLS."""
    assert find_fault(target, Certificates(authority.file) if target.startswith("unspools") else None) is None


def test_a_server_that_speaks_only_old_tls_is_told_of(authority: Authority) -> None:
    """A version or cipher that the other side does not support is reported in OpenSSL's words."""
    pair = authority.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pair.cert, pair.key)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with listening(lambda connection: context.wrap_socket(connection, server_side=True).close()) as address:
        fault = find_fault(f"unspools://{address}", Certificates(authority.file))
    assert isinstance(fault, TlsError)
    assert "the TLS handshake failed: " in fault.message
