"""gRPC's credentials for TLS, for client and server, and those of a peer.

gRPC accepts only TLS 1.2 and 1.3, and has no setting for older versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import grpc

from unspool.core.tls import TlsMode, without_scheme

if TYPE_CHECKING:
    from unspool.rpc.certificates import Certificates, Pems


def open_channel(
    target: str,
    pems: Pems | None,
    options: Sequence[tuple[str, int | str]],
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Return a channel to a target, over TLS if there are certificates.

    The channel keeps these certificates until it is closed: gRPC's clients cannot change them.
    """
    place = without_scheme(target)
    if pems is None:
        return grpc.aio.insecure_channel(place, options=options, interceptors=interceptors)
    credentials = grpc.ssl_channel_credentials(pems.ca, pems.key, pems.chain)
    return grpc.aio.secure_channel(place, credentials, options=options, interceptors=interceptors)


def server_credentials(certificates: Certificates, mode: TlsMode) -> grpc.ServerCredentials:
    """Return the credentials of a listener. Every handshake uses the present contents of the files.

    Raises:
        LocalFileError, InvalidRequestError: as `Certificates.current`.
    """
    used = certificates.current()

    def newer() -> grpc.ServerCertificateConfiguration | None:
        """Return a new configuration, or None if it has not changed. gRPC calls this at each handshake, in its own thread."""
        nonlocal used
        current = certificates.current()
        if current is used:
            return None
        used = current
        return _configuration(current, mode)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used, mode),
        newer,  # type: ignore[arg-type]  # None is allowed
        mode == "mtls",
    )


def _configuration(pems: Pems, mode: TlsMode) -> grpc.ServerCertificateConfiguration:
    assert pems.key is not None
    assert pems.chain is not None
    return grpc.ssl_server_certificate_configuration([(pems.key, pems.chain)], pems.ca if mode == "mtls" else None)


def is_over_tls(peer: Mapping[str, Iterable[bytes]]) -> bool:
    """Whether a connection is over TLS, by what gRPC knows of the peer (`ServicerContext.auth_context`)."""
    return b"ssl" in peer.get("transport_security_type", ())
