"""The rules file, read again when it changes (`unspool.core.rules` has the format)."""

from __future__ import annotations

import os

from unspool.access.files import FromFile, WatchedFile, read_file
from unspool.core.access import Extent, Principal, Right, Verdict
from unspool.core.rules import Rules, parse_rules


def read_rules(path: str | os.PathLike[str]) -> Rules:
    """Return the rules of a file.

    Raises:
        LocalFileError: it cannot be read.
        InvalidRequestError: it makes no sense; the message names the line.
    """
    return parse_rules(read_file(path), str(path))


class RulesFile(FromFile[Rules]):
    """Decides by the rules of a file: `Server(store, authorize=RulesFile("rules.toml"))`.

    The file is looked at once a second, while calls are made. A change counts when it is a second old. A file that
    makes no sense changes nothing; that is logged and counted.

    Args:
        path: the file.

    Raises:
        LocalFileError: it cannot be read.
        InvalidRequestError: it makes no sense; the message names the line.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(WatchedFile(path, parse_rules, "rules"))

    def __call__(self, who: Principal | None, right: Right, name: str, /) -> Verdict:
        """See `Authorize`."""
        return self._file.look()(who, right, name)

    def extent(self, who: Principal | None, right: Right, prefix: str) -> Extent:
        """See `Authority.extent`."""
        return self._file.look().extent(who, right, prefix)
