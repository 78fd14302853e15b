"""Where settings were made, so that an error about one of them names the line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from unspool.errors import UnspoolError


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Settings of which some come from a configuration file.

    Attributes:
        places: the file and the line of each setting that comes from it, as `serve.toml: line 3`.
    """

    places: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def at(self, *settings: str) -> Iterator[None]:
        """Name the line of the first of these settings that has one, in errors that are raised inside the `with`."""
        try:
            yield
        except UnspoolError as error:
            place = next((self.places[one] for one in settings if one in self.places), None)
            if place is not None:
                error.args = (f"{place}: {error.message}", *error.args[1:])
            raise
