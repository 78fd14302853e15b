"""Which files of a tree are wanted: includes and excludes, with rclone's meaning.

Rule 1: rules are tried in their order, and the first one that matches a file decides.
Rule 2: a file that no rule matches is left out if there is any include, and taken otherwise.
Rule 3: patterns are matched against names below the tree's prefix.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from unspool.core.globs import Glob
from unspool.core.model import FileInfo
from unspool.core.tree import name_below
from unspool.errors import InvalidRequestError

Filter: TypeAlias = tuple[Literal["include", "exclude"], str]
"""A rule: what is done about the names that match, and a pattern (`unspool.core.globs`)."""


class Filters:
    """Some rules, in their order.

    Args:
        rules: as the class says; none takes every file.

    Raises:
        InvalidRequestError: a pattern makes no sense, or a rule is neither an include nor an exclude.
    """

    def __init__(self, rules: Iterable[Filter] = ()) -> None:
        self._rules: list[tuple[bool, Glob]] = []
        for kind, pattern in rules:
            if kind not in ("include", "exclude"):
                raise InvalidRequestError(f"{kind!r} is not a kind of filter: there are 'include' and 'exclude'")
            self._rules.append((kind == "include", Glob(pattern)))
        self._otherwise = not any(includes for includes, _ in self._rules)

    def __bool__(self) -> bool:
        """Whether there is any rule. With one, directories in which there is nothing are left out (as rclone does)."""
        return bool(self._rules)

    def accept(self, path: str) -> bool:
        """Whether a file is wanted, by its name below the tree's prefix."""
        return next((includes for includes, glob in self._rules if glob.matches(path)), self._otherwise)

    def select(self, infos: Iterable[FileInfo], prefix: str) -> list[FileInfo]:
        """Return the files that are wanted, of those listed below a prefix (as `unspool.core.tree.below` returns it)."""
        if not self._rules:
            return list(infos)
        return [info for info in infos if self.accept(name_below(info.name, prefix))]
