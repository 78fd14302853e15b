"""Names that listings leave out, and why: all are counted, some are named.

Rule 1: memory is bounded. A limited number of names is kept, and a reason that this version does not know counts as `OTHER`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from unspool.core.model import Omission

Reason: TypeAlias = Literal[
    "LINK_OUTSIDE", "LINK_NOWHERE", "LINK_TO_DIRECTORY", "SPECIAL", "NAME", "RESERVED", "REFUSED", "HIDDEN", "OTHER"
]
"""Why a name is left out; PROTOCOL.md says what each means."""

REASONS: frozenset[str] = frozenset(get_args(Reason))

NAMED = 100
"""Most omitted names that a server sends with one page: as many as a person reads."""


class Omissions:
    """Counts omitted names, and keeps some of them.

    Args:
        most_names: how many names to keep.

    Attributes:
        counts: number of omitted names, by reason.
    """

    def __init__(self, most_names: int) -> None:
        self.counts: dict[str, int] = {}
        self._most_names = most_names
        self._named: list[Omission] = []
        self._unnamed: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.counts)

    def add(self, omission: Omission) -> None:
        """Add one omission, which may stand for several names."""
        reason = omission.reason if omission.reason in REASONS else "OTHER"
        self.counts[reason] = self.counts.get(reason, 0) + omission.count
        unnamed = omission.count
        if omission.name and len(self._named) < self._most_names:
            self._named.append(Omission(reason, omission.name))
            unnamed -= 1
        if unnamed:
            self._unnamed[reason] = self._unnamed.get(reason, 0) + unnamed

    def as_tuple(self) -> tuple[Omission, ...]:
        """Return all omissions: first the names that were kept, then one count of the others for each reason."""
        return (*self._named, *(Omission(reason, count=count) for reason, count in self._unnamed.items()))
