"""Explains in one line why no gRPC server could be reached.

gRPC gives the reason as text only, and the text differs between versions. Text recognised here is replaced by a plain sentence;
otherwise the last error in gRPC's text is shown.
"""

from __future__ import annotations

import re

_MEANINGS: tuple[tuple[str, str], ...] = (
    (r"HTTP proxy returned response code (\d+)", "the proxy refused to connect (HTTP status {}); check the proxy's settings"),
    (r"http2 header with status: (50[234])", "a proxy answers there, but no server behind it (HTTP status {})"),
    (r"http2 header with status: (\d+)", "an HTTP/2 server answers there, not gRPC (HTTP status {}); check the port"),
    (r"END_STREAM flag received", "an HTTP/2 server or proxy answers there, but not with gRPC; check the port"),
    (r"http1\.x server|frame type (?:80|79|111|77|109)\b", "an HTTP/1 server answers there, not gRPC; check the port"),
    (r"Failed parsing HTTP/2|Expected SETTINGS", "something answers there that does not speak gRPC; check the port"),
    (r"[Cc]onnection refused", "nobody listens there (connection refused); start `unspool serve`, or check the port"),
    (r"No such file or directory", "there is no such socket; start `unspool serve`, or check the path"),
    (r"errors? resolving|DNS resolution failed|lookup failed", "no such host (name resolution failed); check the name"),
    (
        r"timed out|Timeout occurred|Deadline [Ee]xceeded",
        "nothing answers there; check the address, and for a firewall on the way",
    ),
    (
        r"[Ss]ocket closed|reset by peer|[Bb]roken pipe|End of TCP stream",
        "the connection is closed as soon as it is made (by a TLS port, or a load balancer without servers); check the port",
    ),
)
"""Patterns for gRPC's text, each with its explanation. The first match counts. About the frame types: HTTP/2 has the type of a
frame in its fourth byte. In an HTTP/1 answer, that byte is the P of `HTTP/1.1` (80), or a letter of `<!DOCTYPE`, `<!doctype`,
`<HTML` or `<html` (79, 111, 77, 109)."""

_NOT_ABOUT_TLS = re.compile(
    r"[Cc]onnection refused|No such file or directory|resolving|DNS resolution failed|lookup failed|HTTP proxy|"
    r"timed out|Timeout occurred|Deadline [Ee]xceeded|http2 header with status"
)
"""gRPC's text about connections that failed before or after TLS."""

_LAST_WORDS = re.compile(r"last error: (?:[A-Z_]+: )?(?:(?:ipv4|ipv6|unix):\S+: )?(.*)", re.DOTALL)


_NOT_GRPC = re.compile(r"http2 header with status: (?!40[13])|END_STREAM flag received")
"""gRPC's text for an answer that is not gRPC. The HTTP statuses 401 and 403 are left out, because gRPC maps them itself."""


def is_no_grpc(details: str) -> bool:
    """Whether a call failed because the server at the address does not speak gRPC."""
    return _NOT_GRPC.search(details) is not None


def may_be_tls(details: str) -> bool:
    """Whether a connection may have failed because of TLS, so that a probe is worth its time."""
    return _NOT_ABOUT_TLS.search(details) is None


def explain(target: str, details: str) -> str:
    """Return the explanation.

    Args:
        target: the server's address, as the caller gave it.
        details: gRPC's text.
    """
    for pattern, meaning in _MEANINGS:
        if (found := re.search(pattern, details)) is not None:
            return f"{target}: {meaning.format(*found.groups())}"
    last = _LAST_WORDS.search(details)
    return f"{target}: no connection: {last[1] if last else details}"
