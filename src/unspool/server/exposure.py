"""What must be right before a server listens: its files, and what an address gives to whoever reaches it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from unspool.core.tls import Listener, TlsMode
from unspool.errors import InvalidRequestError
from unspool.rpc.certificates import Certificates, FilePath, say_time

log = logging.getLogger("unspool.server")

_WARNINGS: dict[TlsMode, str | None] = {
    "plain": "%s is open to other machines: there is no TLS and no authentication, so whoever reaches it can %s all files",
    "tls": "%s is open to other machines: there is no authentication, so whoever reaches it can %s all files",
    "mtls": None,
}

_IN_CLEAR = "%s is open to other machines in clear: whoever is on the way can read tokens and files, and use the tokens"


def check_files(client_ca: FilePath | None, cert: FilePath | None, key: FilePath | None) -> None:
    """Do as `check_certificates`, for a program that starts servers."""
    check_certificates(Certificates(client_ca, cert, key))


def check_certificates(certificates: Certificates) -> None:
    """Check the files of a server's certificates, and log a warning if its own has expired.

    Raises:
        LocalFileError, InvalidRequestError: as `Certificates.current`.
    """
    certificate = certificates.current().certificate
    if certificate is not None and certificate.not_after < datetime.now(UTC):
        log.warning("%s: this certificate expired on %s", certificates.cert, say_time(certificate.not_after))


def check_exposure(listener: Listener, *, exposed: bool, insecure: bool) -> None:
    """Check that a listener may be reached as it is.

    Args:
        listener: the address, and what secures it.
        exposed: whether other machines can reach it.
        insecure: whether that is wanted in clear, too.

    Raises:
        InvalidRequestError: it would be open to other machines in clear.
    """
    if exposed and listener.mode == "plain" and not insecure:
        raise InvalidRequestError(
            f"{listener.where} is open to other machines, and in clear: give a certificate with cert= and key=, listen on "
            "127.0.0.1, or allow it with insecure=True"
        )


def exposure_warning(mode: TlsMode, address: str, *, guarded: bool, writes: bool = False) -> str | None:
    """Return the warning about an address that other machines can reach; None if there is none.

    Args:
        mode: what secures its connections.
        address: the address.
        guarded: whether the server decides who may do what.
        writes: whether clients may write files.
    """
    if guarded:
        return _IN_CLEAR % address if mode == "plain" else None
    said = _WARNINGS[mode]
    return None if said is None else said % (address, "read and replace" if writes else "read")
