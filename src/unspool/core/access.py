"""Who asks, and who decides: what authentication and authorization are given, and what they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from unspool.core.value import value

Right: TypeAlias = Literal["list", "read"]
"""What a caller may do with a name: see it in listings, or read it and ask what it is."""

RIGHTS: tuple[Right, ...] = ("list", "read")

Extent: TypeAlias = Literal["all", "some", "none"]
"""How many of the names below a prefix a caller has a right to."""


@value
class Credentials:
    """What a caller shows. Its `repr` has no secret.

    Attributes:
        address: where it calls from, as gRPC writes it: `ipv4:127.0.0.1:50000`.
        secure: whether nobody on the way can have read the token: over TLS, loopback or a Unix socket.
        token: the bearer token; None if there is none.
        certificate: the names in its certificate, the one that stands for it first; empty if it showed none. It was verified.
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
        names: what it is called, in rules; the first one also in logs. The name of a token has no colon; others begin with
            their kind: `spiffe://example.org/builder`, `dns:host.example`, `jwt:alice`.
        expires: when it has to show something new, in seconds since 1970; None for never.
    """

    names: tuple[str, ...]
    expires: float | None = None

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]


Authenticate: TypeAlias = Callable[[Credentials], Principal | Awaitable[Principal | None] | None]
"""Identifies the caller of every call; None is a caller that shows nothing. Raises UnauthenticatedError if what it shows is not
good. It runs on the event loop, before any limit, and again for a running stream when its attribute `version` (if it has one)
changes, or else every second."""


@value
class Verdict:
    """What was decided.

    Attributes:
        allowed: whether the caller has the right.
        rule: what decided it, for the audit: `rules.toml:12`.
    """

    allowed: bool
    rule: str = ""


Authorize: TypeAlias = Callable[[Principal | None, Right, str], Verdict]
"""Decides whether a caller (None if it was not identified) has a right to a name. It knows nothing of the files there are. It
runs on the event loop, for each name of a call and each entry of a listing, so it should be quick; `version` is as above."""


@runtime_checkable
class Authority(Protocol):
    """An `Authorize` that also knows what it would decide for all names below a prefix. Listings ask it."""

    def __call__(self, who: Principal | None, right: Right, name: str, /) -> Verdict:
        """See `Authorize`."""
        ...

    def extent(self, who: Principal | None, right: Right, prefix: str) -> Extent:
        """Return whether the caller has the right to all names that may be below a prefix, to some, or to none."""
        ...


@value
class Decision:
    """What was decided about one name of a call, once the call has ended.

    Attributes:
        who: the principal; None if it was not identified.
        address: where it called from, as gRPC writes it.
        method: the method's name, such as `ReadFile`.
        name: the name of the file, or the prefix; "" if the request was not even looked at.
        revision: the revision that was served; None if there is none.
        span: the first byte to be served, and the one after the last; None if nothing was to be served.
        bytes: how many bytes of it were handed to gRPC.
        verdict: `granted`, `denied`, or `unidentified` if what the caller showed was not good.
        rule: what decided, as `rules.toml:12`; for `unidentified` why it was not good.
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
    """Is told what was decided. It runs on the event loop, so it should be quick, and must not raise.

    Attributes:
        grants: whether it wants to be told of grants, too.
    """

    grants: bool

    def notify(self, decision: Decision) -> None:
        """Handle a decision."""
        ...
