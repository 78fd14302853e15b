"""Who asks, and whether they may: decided for every call at the entry, before the store is asked.

Rule 1: a name that a caller has no right to does not exist for it. The verdict is about the name only, so neither the status
        nor its text nor the time it takes tells whether there is such a file; listings leave the name out.
Rule 2: what holds for new calls holds for running streams. When tokens or rules have changed, or a token has expired, a stream
        is decided about again before its next message.
Rule 3: what a caller shows is in no log, error or report.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache

from unspool.core.access import (
    Authenticate,
    Authority,
    Authorize,
    Credentials,
    Extent,
    Principal,
    Right,
    Verdict,
    by_certificate,
)
from unspool.core.model import Page
from unspool.core.tls import is_secure_peer
from unspool.errors import AccessError, PermissionDeniedError, StreamAgeError, UnauthenticatedError
from unspool.rpc.tls import is_over_tls
from unspool.server.entry import Call, Caller, Context

_BETWEEN = 1.0
"""Seconds between two decisions about a running stream, if nothing tells when the rules change."""

_BEARER = "bearer "

_OF_MANY = ("list", "watch")
"""Rights to names that are found, not asked for. Whoever has one below a prefix may ask at the top, and gets what is there."""

_NAMES = (
    ("peer_spiffe_id", ""),
    ("peer_uri", "uri:"),
    ("peer_dns", "dns:"),
    ("peer_email", "email:"),
    ("peer_ip", "ip:"),
    ("x509_subject", "subject:"),
)
"""What gRPC knows of a client's certificate, and how rules name it. A SPIFFE id has its kind in itself."""


class Guard:
    """Decides about the calls of a server.

    Args:
        authenticate: identifies callers; None knows them by their certificates only.
        authorize: decides what they may do; None lets everybody do everything if `authenticate` is None, and otherwise
            everybody who was identified.
        in_clear: whether tokens may come over connections that others can read.
    """

    def __init__(self, authenticate: Authenticate | None, authorize: Authorize | None, *, in_clear: bool = False) -> None:
        self._authenticate = authenticate or by_certificate
        self._takes_tokens = authenticate is not None
        self._authority = _authority(authorize if authorize is not None else _identified if self._takes_tokens else everybody)
        self._in_clear = in_clear
        self._sources = [source for source in (authenticate, authorize) if source is not None]
        self._tells = all(hasattr(source, "version") for source in self._sources)

    async def identify(self, call: Call) -> None:
        """Find out who makes a call. If that fails, the call has a `refusal`, which `authorize` raises."""
        call.credentials = _credentials(call.caller.address, call.context)
        call.decided_at = self._version()
        await self._identify(call)

    async def _identify(self, call: Call) -> None:
        call.refusal = None
        try:
            call.caller = Caller(call.caller.address, await self._principal(call.credentials))
        except AccessError as error:
            call.refusal = error

    async def _principal(self, shown: Credentials) -> Principal | None:
        if self._takes_tokens and shown.token is not None and not shown.secure and not self._in_clear:
            raise UnauthenticatedError(
                "the token came over a connection in clear, where others could read it: revoke it, and use TLS"
            )
        found = self._authenticate(shown)
        return await found if inspect.isawaitable(found) else found

    def authorize(self, call: Call) -> None:
        """Decide about a call whose request is known. Of a batch, the files that the caller may not read are noted.

        Raises:
            UnauthenticatedError: the caller was not identified.
            PermissionDeniedError: it has not the right.
        """
        if call.refusal is not None:
            raise call.refusal
        asked, who = call.asked, call.caller.principal
        authority = self._authority
        if asked.right in _OF_MANY:
            prefix = asked.names[0]
            call.extent = authority.extent(who, asked.right, prefix)
            # A rule about something below it shows the prefix, too.
            call.verdicts = [Verdict(call.extent != "none", authority(who, asked.right, prefix).rule)]
            call.shown = lambda page: self._shown(call, page)
            if call.extent == "some" and not isinstance(authority, _ByName):
                call.hides = lambda prefix: authority.extent(call.caller.principal, "list", prefix) == "none"
            call.sees = None if call.extent == "all" else lambda name: authority(who, asked.right, name).allowed
        else:
            call.verdicts = [authority(who, asked.right, name) for name in asked.names]
        denied = [index for index, verdict in enumerate(call.verdicts) if not verdict.allowed]
        call.refused = {index: _denied(who, asked.right, asked.names[index]) for index in denied}
        if denied and not asked.batch:
            raise call.refused[denied[0]]
        call.recheck = lambda: self._recheck(call)

    async def _recheck(self, call: Call) -> None:
        """Decide about a running call again, if something has changed.

        Raises:
            AccessError: the caller no longer has the right.
            StreamAgeError: it no longer has the right to all files of a batch that it had, and is to ask again.
        """
        principal, version = call.caller.principal, self._version()
        expired = principal is not None and principal.expires is not None and time.time() >= principal.expires
        if version == call.decided_at and not expired:
            return
        call.decided_at = version
        before = set(call.refused)
        await self._identify(call)
        self.authorize(call)
        if set(call.refused) - before:
            raise StreamAgeError("what this caller may read has changed: continue with a new stream", retry_after=0.0)

    def _version(self) -> tuple[object, ...]:
        """Return what differs when something may have changed."""
        versions = [getattr(source, "version", None) for source in self._sources]
        return (*versions, None if self._tells else time.monotonic() // _BETWEEN)

    async def _shown(self, call: Call, page: Page) -> Page | None:
        """Return what a caller may see of a page of its listing; None if that is nothing."""
        await self._recheck(call)
        if call.extent == "all":
            return page
        who, authority = call.caller.principal, self._authority
        files = tuple([info for info in page.files if authority(who, "list", info.name).allowed])
        prefixes = tuple([prefix for prefix in page.prefixes if authority.extent(who, "list", prefix) != "none"])
        omitted = tuple([one for one in page.omitted if one.name and authority(who, "list", one.name).allowed])
        return Page(files, prefixes, omitted) if files or prefixes or omitted else None


def everybody(who: Principal | None, right: Right, name: str, /) -> Verdict:  # noqa: ARG001 - see Authorize
    """Let everybody do everything. See `Authorize`."""
    return Verdict(allowed=True, rule="no rules")


def _identified(who: Principal | None, right: Right, name: str, /) -> Verdict:  # noqa: ARG001 - see Authorize
    return Verdict(allowed=who is not None, rule="no rules")


class _ByName:
    """Asks an `Authorize` that knows single names only. A directory is listed if its own name may be."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    def __call__(self, who: Principal | None, right: Right, name: str, /) -> Verdict:
        """See `Authorize`."""
        return self._authorize(who, right, name)

    def extent(self, who: Principal | None, right: Right, prefix: str) -> Extent:
        """See `Authority.extent`."""
        if self._authorize in (everybody, _identified):
            return "all" if self._authorize(who, right, prefix).allowed else "none"
        return "some" if self._authorize(who, right, prefix.removesuffix("/")).allowed else "none"


def _authority(authorize: Authorize) -> Authority:
    return authorize if isinstance(authorize, Authority) else _ByName(authorize)


def _denied(who: Principal | None, right: Right, name: str) -> AccessError:
    shown = name or "the top"
    if who is None:
        return UnauthenticatedError(f"{shown}: only callers that the server knows may {right} this", name=name)
    return PermissionDeniedError(f"{shown}: {who.name} may not {right} this", name=name)


def _credentials(address: str, context: Context) -> Credentials:
    metadata = tuple(context.invocation_metadata() or ())
    token = None
    for key, value in metadata:
        if key == "authorization" and isinstance(value, str) and value[: len(_BEARER)].lower() == _BEARER:
            token = value[len(_BEARER) :].strip()
    peer = context.auth_context()
    # The port makes no difference, and there are few hosts.
    secure = is_over_tls(peer) or _is_here(address.rpartition(":")[0])
    return Credentials(address, secure, token, _names(peer) if "x509_subject" in peer else (), metadata)


def _names(peer: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """Return the names in a client's certificate, which gRPC has verified. The first one stands for it in logs."""
    return tuple([f"{kind}{name.decode(errors='replace')}" for key, kind in _NAMES for name in peer.get(key, ())])


@lru_cache(maxsize=1000)
def _is_here(host: str) -> bool:
    """Whether an address (as gRPC writes it, without a port) is of this machine, so that nobody reads what it sends."""
    return is_secure_peer(f"{host}:0", tls=False)
