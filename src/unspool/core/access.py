"""The interfaces of authentication, authorization and audit: the arguments and results of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from unspool.core.value import value

Right: TypeAlias = Literal["list", "read", "write", "delete", "watch"]
"""What a caller may do with a name: see it in listings (`list`), read and stat the file (`read`), create and replace it
(`write`), delete it (`delete`), or see who else does that at the moment (`watch`)."""

RIGHTS: tuple[Right, ...] = ("list", "read", "write", "delete", "watch")

Extent: TypeAlias = Literal["all", "some", "none"]
"""Whether a caller has a right to all names below a prefix, to some, or to none."""


@value
class Credentials:
    """What a call shows of its caller. Its `repr` has no secret.

    Attributes:
        address: the caller's address as gRPC writes it: `ipv4:127.0.0.1:50000`.
        secure: whether the token cannot be read on the way, because the connection is over TLS, loopback or a Unix socket.
        token: the bearer token; None if there is none.
        certificate: the names in the caller's verified certificate, the main one first; empty if there is no certificate.
        metadata: all metadata of the call.
    """

    address: str
    secure: bool = False
    token: str | None = field(default=None, repr=False)
    certificate: tuple[str, ...] = ()
    metadata: Sequence[tuple[str, str | bytes]] = field(default=(), repr=False)


@value
class Principal:
    """A caller that was identified.

    Attributes:
        names: its names in rules; logs use the first one. The name of a token has no colon; others begin with their kind:
            `spiffe://example.org/builder`, `dns:host.example`, `jwt:alice`.
        expires: when its credentials end, in seconds since 1970; None for never.
    """

    names: tuple[str, ...]
    expires: float | None = None

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]


Authenticate: TypeAlias = Callable[[Credentials], Principal | Awaitable[Principal | None] | None]
"""Identifies the caller of every call. Returns None if the caller shows no credentials, and raises UnauthenticatedError if they
are not valid. It runs on the event loop, before any limit. It runs again for a running stream, every second, or, if it has an
attribute `version`, whenever that changes."""


def by_certificate(shown: Credentials) -> Principal | None:
    """Identify a caller by its certificate. See `Authenticate`."""
    return Principal(shown.certificate) if shown.certificate else None


@value
class Verdict:
    """An answer of `Authorize`.

    Attributes:
        allowed: whether the caller has the right.
        rule: the rule that decided, for the audit: `rules.toml:12`.
    """

    allowed: bool
    rule: str = ""


Authorize: TypeAlias = Callable[[Principal | None, Right, str], Verdict]
"""Decides whether a caller (None if it was not identified) has a right to a name. It does not know which files exist. It runs
on the event loop, for each name of a call and each entry of a listing, so it should be quick. It may have a `version` as
above."""


@runtime_checkable
class Authority(Protocol):
    """An `Authorize` that can also decide for all names below a prefix at once. Listings use this."""

    def __call__(self, who: Principal | None, right: Right, name: str, /) -> Verdict:
        """See `Authorize`."""
        ...

    def extent(self, who: Principal | None, right: Right, prefix: str) -> Extent:
        """Return whether the caller has the right to all names that may be below a prefix, to some, or to none.

        A recursive listing asks it about each directory, in a worker thread.
        """
        ...


@value
class Decision:
    """The decision about one name of a call, made known when the call has ended.

    Attributes:
        who: the principal; None if it was not identified.
        address: the caller's address as gRPC writes it.
        method: the method's name, such as `ReadFile`.
        name: the name of the file, or the prefix; "" if the call was refused before its request was decoded.
        revision: the revision that was served; None if there is none.
        span: the first byte to be served, and the one after the last; None if nothing was to be served.
        bytes: how many bytes of the span were passed to gRPC.
        verdict: `granted`, `denied`, or `unidentified` if the caller's credentials were not valid.
        rule: the rule that decided, such as `rules.toml:12`; for `unidentified`, why the credentials were not valid.
        seconds: how long the call took.
    """

    who: str | None
    address: str
    method: str
    name: str
    revision: str | None
    span: tuple[int, int] | None
    bytes: int
    verdict: Literal["granted", "denied", "unidentified"]
    rule: str
    seconds: float


class Audit(Protocol):
    """Receives decisions. It runs on the event loop, so it should be quick, and must not raise.

    Attributes:
        grants: whether it wants decisions that granted a right, too.
    """

    grants: bool

    def notify(self, decision: Decision) -> None:
        """Handle a decision."""
        ...
