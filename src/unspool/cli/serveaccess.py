"""The options of `serve` that say who may do what, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import click

from unspool.cli.completion import complete_paths
from unspool.cli.settingplaces import Placed
from unspool.core.access import Audit, Authenticate, Authorize
from unspool.errors import InvalidRequestError

F = TypeVar("F", bound=Callable[..., Any])


def access_options(work: F) -> F:
    """Add the options of `AccessSettings` to `serve`, which gets them under these names."""
    for option in (
        click.option("--audit-grants", is_flag=True, help="Write what was granted to the audit, too."),
        click.option(
            "--audit",
            metavar="FILE",
            default=None,
            shell_complete=complete_paths,
            help="Append a JSON line for each denied name; fd:3 is an open descriptor.",
        ),
        click.option(
            "--rules",
            metavar="FILE",
            default=None,
            shell_complete=complete_paths,
            help="Who may do what; what it does not grant is denied. Read again when it changes.",
        ),
        click.option("--jwt-issuer", metavar="NAME", default=None, help="Who must have made the JWTs (their `iss`)."),
        click.option("--jwt-audience", metavar="NAME", default=None, help="Whom the JWTs must be for (their `aud`)."),
        click.option(
            "--jwt-keys",
            metavar="FILE",
            default=None,
            shell_complete=complete_paths,
            help="The public keys of those who sign JWTs that callers show (JWKS or PEM). Read again when it changes.",
        ),
        click.option(
            "--tokens",
            metavar="FILE",
            default=None,
            shell_complete=complete_paths,
            help="The tokens that callers show; `unspool token new` makes them. Read again when it changes.",
        ),
    ):
        work = option(work)
    return work


class Reloadable(Protocol):
    """Something that is read again on SIGHUP."""

    def reload(self) -> bool:
        """Read it now; return whether it was accepted. If not, it logs why."""
        ...


R = TypeVar("R", bound=Reloadable)


@dataclass(slots=True)
class ServerAccess:
    """What decides about the calls of a server.

    Attributes:
        authenticate, authorize, audit: see `unspool.Server`.
        reloaded: what is read again on SIGHUP.
    """

    authenticate: Authenticate | None = None
    authorize: Authorize | None = None
    audit: Audit | None = None
    reloaded: list[Reloadable] = field(default_factory=list)

    def reloads(self, one: R) -> R:
        """Have something read again on SIGHUP, and return it."""
        self.reloaded.append(one)
        return one

    def reload(self) -> None:
        """Read everything again now."""
        for one in self.reloaded:
            one.reload()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings(Placed):
    """The options of `access_options`, under the same names."""

    tokens: str | None
    jwt_keys: str | None
    jwt_audience: str | None
    jwt_issuer: str | None
    rules: str | None
    audit: str | None
    audit_grants: bool

    def access(self, *, audit: bool = True) -> ServerAccess:
        """Read the files, and open the audit unless it is not wanted now.

        Raises:
            LocalFileError: a file cannot be read or written.
            InvalidRequestError: one makes no sense, or an option is missing that another one needs.
            UnsupportedError: a package for JWTs is missing.
        """
        access = ServerAccess()
        self._authenticate(access)
        if self.rules is not None:
            from unspool.access.rulesfile import RulesFile  # noqa: PLC0415

            with self.at("rules"):
                access.authorize = access.reloads(RulesFile(self.rules))
        with self.at("audit", "audit_grants"):
            if self.audit_grants and self.audit is None:
                raise InvalidRequestError("--audit-grants: grants are written to the audit: name its file with --audit")
            if self.audit is not None and audit:
                from unspool.access.auditfile import AuditFile  # noqa: PLC0415

                access.audit = access.reloads(AuditFile(self.audit, grants=self.audit_grants))
        return access

    def _authenticate(self, access: ServerAccess) -> None:
        if self.tokens is not None:
            from unspool.access.tokenfile import TokenFile  # noqa: PLC0415

            with self.at("tokens"):
                access.authenticate = tokens = access.reloads(TokenFile(self.tokens))
        if (self.jwt_keys, self.jwt_audience, self.jwt_issuer) == (None, None, None):
            return
        with self.at("jwt_keys", "jwt_audience", "jwt_issuer"):
            if self.jwt_keys is None or self.jwt_audience is None or self.jwt_issuer is None:
                raise InvalidRequestError("JWTs need all of --jwt-keys, --jwt-audience and --jwt-issuer")
            from unspool.access.jwtkeys import JwtKeys  # noqa: PLC0415

            jwts = access.reloads(JwtKeys(self.jwt_keys, audience=self.jwt_audience, issuer=self.jwt_issuer))
        if self.tokens is None:
            access.authenticate = jwts
        else:
            from unspool.access.bykind import ByKind  # noqa: PLC0415

            access.authenticate = ByKind(tokens, jwts)
