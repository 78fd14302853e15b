"""The options of `serve` that say who may do what, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import click

from unspool.cli.completion import complete_paths
from unspool.core.access import Audit, Authenticate, Authorize
from unspool.errors import InvalidRequestError

F = TypeVar("F", bound=Callable[..., Any])


def access_options(work: F) -> F:
    """Add `--tokens`, `--rules`, `--audit` and `--audit-grants` to `serve`, which gets them under these names."""
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

    def reload(self) -> None:
        """Read everything again now."""
        for one in self.reloaded:
            one.reload()


def server_access(tokens: str | None, rules: str | None, audit: str | None, *, audit_grants: bool) -> ServerAccess:
    """Read the files, and open the audit.

    Raises:
        LocalFileError: a file cannot be read or written.
        InvalidRequestError: one makes no sense, or `audit_grants` is set without `audit`.
    """
    access = ServerAccess()
    if tokens is not None:
        from unspool.access.tokenfile import TokenFile  # noqa: PLC0415

        known = TokenFile(tokens)
        access.authenticate = known
        access.reloaded.append(known)
    if rules is not None:
        from unspool.access.rulesfile import RulesFile  # noqa: PLC0415

        decided = RulesFile(rules)
        access.authorize = decided
        access.reloaded.append(decided)
    if audit is not None:
        from unspool.access.auditfile import AuditFile  # noqa: PLC0415

        told = AuditFile(audit, grants=audit_grants)
        access.audit = told
        access.reloaded.append(told)
    elif audit_grants:
        raise InvalidRequestError("what was granted is written to the audit: name its file, too")
    return access
