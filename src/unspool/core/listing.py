"""Limits of a listing as a whole: it must end, and must not repeat itself.

Each entry is checked when it is decoded. Without these limits a server could send entries for ever, because a client knows
nothing else about a listing.
"""

from __future__ import annotations

from unspool.core.abridged import abridged
from unspool.core.counted import counted
from unspool.core.model import Page
from unspool.errors import ProtocolError

REPEATS = 100
"""How often remembered names may be repeated. A directory that changes while it is read may show a name twice."""

REMEMBERED = 100_000
"""Most names that are remembered: one of each page, so a listing of 100 million files that repeats itself is found out."""


class Listing:
    """The rules for one listing.

    Args:
        prefix: the listed prefix, for messages.
        limit: most entries, including omitted names.
    """

    def __init__(self, prefix: str, limit: int) -> None:
        self._about = prefix or "/"
        self._limit = limit
        self._entries = 0
        self._remembered: set[str] = set()
        self._repeats = 0

    def take(self, page: Page) -> None:
        """Process a page. Raises ProtocolError if the listing is too long, or repeats itself."""
        names = [info.name for info in page.files]
        names += [f"{prefix}/" for prefix in page.prefixes]
        self._entries += len(names) + len(page.omitted)
        if self._entries > self._limit:
            raise ProtocolError(f"{self._about}: the listing has more than {counted(self._limit, 'entry', 'entries')}")
        for name in names:
            if name in self._remembered:
                self._repeats += 1
                if self._repeats > REPEATS:
                    raise ProtocolError(f"{self._about}: the listing repeats itself: {abridged(name)} came again")
        if names and len(self._remembered) < REMEMBERED:
            self._remembered.add(names[0])
