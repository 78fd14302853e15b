"""Finds out why a TLS connection failed: makes another handshake with the server, with Python's own TLS.

gRPC's error is a text that differs between versions. If a client certificate is missing or refused, it says only that the
socket was closed. A handshake with Python's `ssl` shows which fault it was.

In TLS 1.3 the client learns only after the handshake whether the server accepts its certificate: the server sends an alert or,
if it uses gRPC, closes the connection. A server that accepts the client sends first, because HTTP/2 begins with its settings.
"""

from __future__ import annotations

import pkgutil
import re
import socket
import ssl
import time
from contextlib import suppress
from datetime import UTC, datetime

from unspool.core.address import SCHEME
from unspool.core.certificate import Certificate, parse_der
from unspool.core.tls import with_tls, without_scheme
from unspool.errors import InvalidRequestError, TlsError, UnauthenticatedError, UnspoolError
from unspool.rpc.certificates import Certificates, say_time

_PATIENCE = 1.0
"""Seconds that the whole probe may take. A handshake takes three round trips."""

_FIRST_WORDS = 0.2
"""Seconds to wait for the server to send first."""

_PAUSE = 0.1
"""Seconds to wait before the probe asks again a server that closed the connection without an alert: it may be restarting."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""The beginning of an HTTP/2 connection, with empty settings."""

_HOST = re.compile(r"(\[[^\]]+\]|[^:]+):(\d+)")
"""`HOST:PORT`. Targets of other forms, which gRPC resolves by itself, are not probed."""

# Of X509_verify_cert_error_string(3). All others are about who signed the certificate.
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAME = (62, 63, 64)

_MOST_NAMES = 5

_ABOUT_THE_CLIENT = "ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)"
"""Alerts of servers that miss or refuse a client certificate. OpenSSL sends the last one for a missing one in TLS 1.2."""


def find_fault(target: str, certificates: Certificates | None) -> UnspoolError | None:
    """Return the error that says why no secure connection can be made, or None if it is not that. This blocks.

    Args:
        target: the server, as the client connects to it.
        certificates: those of the client; None without TLS.
    """
    found = _HOST.fullmatch(without_scheme(target))
    if found is None:
        return None
    at = found[1].strip("[]")
    probe = _Probe(at, int(found[2]), at if certificates is None or certificates.host is None else certificates.host)
    try:
        return _of_tls(target, probe, certificates) if certificates is not None else _of_clear(target, probe)
    except (OSError, UnspoolError):  # the server is gone, or slow: then it is not about TLS
        return None


class _Probe:
    """Handshakes with one server, within the same second. Its certificate must be for `host`."""

    def __init__(self, at: str, port: int, host: str) -> None:
        self._at = at
        self._port = port
        self.host = host
        self._deadline = time.monotonic() + _PATIENCE

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.05)

    def shake(self, context: ssl.SSLContext) -> tuple[str | None, bool]:
        """Shake hands, and return the protocol that the server selected (ALPN) and whether it speaks after that.

        Raises:
            ssl.SSLError: the handshake failed, or the server sent an alert after it.
            OSError: there is no connection.
        """
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection((self._at, self._port), self._left()) as plain,
            context.wrap_socket(plain, server_hostname=self.host) as secure,
        ):
            return secure.selected_alpn_protocol(), self._hear(secure)

    def _hear(self, secure: ssl.SSLSocket) -> bool:
        """Return whether the server sends anything, or waits for the client. Raises ssl.SSLError if it sends an alert."""
        try:
            # Most servers send first. Sending to a server that is closing may discard its alert.
            for patience, words in ((min(_FIRST_WORDS, self._left()), b""), (self._left(), _PREFACE)):
                secure.settimeout(patience)
                with suppress(TimeoutError):
                    secure.sendall(words)
                    return secure.recv(1) != b""
        except ssl.SSLError as error:
            if not _is_end(error):
                raise
            return False
        except OSError:  # reset
            return False
        return True

    def certificate(self) -> Certificate:
        """Return the server's certificate, without checking it. Raises as `shake`, or InvalidRequestError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((self._at, self._port), self._left()) as plain,
            context.wrap_socket(plain, server_hostname=self.host) as secure,
        ):
            return parse_der(secure.getpeercert(binary_form=True) or b"")


def _of_clear(target: str, probe: _Probe) -> UnspoolError | None:
    """Return the error if the client used no TLS and the server speaks it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        probe.shake(context)
    except ssl.SSLError as error:
        if _is_end(error) or _is_not_tls(error):
            return None
    return TlsError(f"{target}: this port uses TLS, and the connection was in clear: write {with_tls(target)}")


def _of_tls(target: str, probe: _Probe, certificates: Certificates) -> UnspoolError | None:
    """Return the error of a handshake with gRPC's settings."""
    pems = certificates.current()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # gRPC does not check so much
    if (roots := pems.ca or pkgutil.get_data("grpc", "_cython/_credentials/roots.pem")) is not None:
        context.load_verify_locations(cadata=roots.decode("ascii", errors="ignore"))
    if certificates.cert is not None:
        context.load_cert_chain(certificates.cert, certificates.key)
    try:
        protocol, speaks = probe.shake(context)
        if not speaks:
            time.sleep(_PAUSE)
            protocol, speaks = probe.shake(context)
    except ssl.SSLCertVerificationError as error:
        return TlsError(f"{target}: {_say_unacceptable(error, probe, own_authorities=pems.ca is not None)}")
    except ssl.SSLError as error:
        return None if _is_end(error) else _of_handshake(target, error, certificates)
    if protocol is None:
        return TlsError(f"{target}: a TLS server answers there, but not with HTTP/2, and so not gRPC; check the port")
    return None if speaks else _of_the_client(target, certificates, "")


def _of_handshake(target: str, error: ssl.SSLError, certificates: Certificates) -> UnspoolError:
    """Return the error of a handshake that failed for another reason than the server's certificate."""
    if _is_not_tls(error):
        return TlsError(
            f"{target}: what answers there does not use TLS: start the server with a certificate, or write "
            f"{SCHEME}{without_scheme(target)} for a connection in clear"
        )
    if re.search(_ABOUT_THE_CLIENT, error.reason or ""):
        return _of_the_client(target, certificates, f" ({_say_alert(error)})")
    return TlsError(f"{target}: the TLS handshake failed: {(error.reason or str(error)).lower().replace('_', ' ')}")


def _of_the_client(target: str, certificates: Certificates, detail: str) -> UnspoolError:
    """Return the error about the client's certificate."""
    ours = certificates.current().certificate
    if ours is None:
        return UnauthenticatedError(f"{target}: the server wants a client certificate{detail}: give it with cert= and key=")
    if ours.not_after < datetime.now(UTC):
        return UnauthenticatedError(
            f"{target}: the client certificate in {certificates.cert} expired on {say_time(ours.not_after)}: renew it"
        )
    return UnauthenticatedError(
        f"{target}: the server refuses the client certificate in {certificates.cert}{detail}: use one that an authority signed "
        "which the server trusts"
    )


def _is_end(error: ssl.SSLError) -> bool:
    """Whether the other side closed the connection without sending anything."""
    return isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _is_not_tls(error: ssl.SSLError) -> bool:
    """Whether the other side answered something that is not TLS. OpenSSL's words for it differ between versions."""
    return re.search("WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE|HTTP_REQUEST", str(error)) is not None


def _say_alert(error: ssl.SSLError) -> str:
    """Return an alert in words: `TLSV13_ALERT_CERTIFICATE_REQUIRED` is "certificate required"."""
    return (error.reason or str(error)).rpartition("ALERT_")[2].replace("_", " ").lower()


def _say_unacceptable(error: ssl.SSLCertVerificationError, probe: _Probe, *, own_authorities: bool) -> str:
    """Return why the server's certificate is not acceptable, and what to do."""
    try:
        theirs = probe.certificate()
    except (OSError, InvalidRequestError):
        theirs = None
    if error.verify_code == _EXPIRED:
        when = f" on {say_time(theirs.not_after)}" if theirs is not None else ""
        return f"the server's certificate expired{when}: it must be renewed there (or this machine's clock is wrong)"
    if error.verify_code == _NOT_YET_VALID:
        when = f" before {say_time(theirs.not_before)}" if theirs is not None else ""
        return f"the server's certificate is not valid{when}: this machine's clock may be wrong"
    if error.verify_code in _OTHER_NAME:
        names = ", ".join(theirs.names[:_MOST_NAMES]) if theirs is not None else ""
        return f"the server's certificate is for {names or 'another host'}, not for {probe.host}: use a name that it is for"
    trusted = "the authorities in the file of ca=" if own_authorities else "the authorities that gRPC ships with"
    return (
        f"the server's certificate is not signed by {trusted} ({error.verify_message}): give the certificate of its authority "
        "with ca="
    )
