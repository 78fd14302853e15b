"""What listings leave out, and why: all of it counted, some of it named.

Rule 1: bounded. Of the names only so many are kept; a reason that this version does not know is counted as `OTHER`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from unspool.core.model import Omission

Reason: TypeAlias = Literal[
    "LINK_OUTSIDE", "LINK_NOWHERE", "LINK_TO_DIRECTORY", "SPECIAL", "NAME", "RESERVED", "REFUSED", "OTHER"
]
"""Why a name is left out; PROTOCOL.md says what each means."""

REASONS: frozenset[str] = frozenset(get_args(Reason))

NAMED = 100
"""Names of what is left out that a server tells with one page: a person reads no more of them."""


class Omissions:
    """Counts what is left out, and keeps some of the names.

    Args:
        most_names: how many.

    Attributes:
        counts: how many were left out, by reason.
    """

    def __init__(self, most_names: int) -> None:
        self.counts: dict[str, int] = {}
        self._most_names = most_names
        self._named: list[Omission] = []
        self._unnamed: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, omission: Omission) -> None:
        """Take note of one or more names of one reason."""
        reason = omission.reason if omission.reason in REASONS else "OTHER"
        self.counts[reason] = self.counts.get(reason, 0) + omission.count
        unnamed = omission.count
        if omission.name and len(self._named) < self._most_names:
            self._named.append(Omission(reason, omission.name))
            unnamed -= 1
        if unnamed:
            self._unnamed[reason] = self._unnamed.get(reason, 0) + unnamed

    def told(self) -> tuple[Omission, ...]:
        """Return it all: first the names that were kept, then the number of the others, reason by reason."""
        return (*self._named, *(Omission(reason, count=count) for reason, count in self._unnamed.items()))
