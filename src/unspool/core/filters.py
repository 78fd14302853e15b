"""Which files of a tree are wanted: includes and excludes, with rclone's meaning.

Rule 1: the rules are tried in order, and the first that matches a file decides.
Rule 2: a file that no rule matches is left out if there is any include rule, and accepted otherwise.
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
"""A rule: whether matching names are included or excluded, and a pattern (`unspool.core.globs`)."""


class Filters:
    """An ordered list of rules.

    Args:
        rules: the rules, in the order in which they are tried. Without rules every file is accepted.

    Raises:
        InvalidRequestError: a pattern is invalid, or a rule is neither an include nor an exclude.
    """

    def __init__(self, rules: Iterable[Filter] = ()) -> None:
        self._rules: list[tuple[bool, Glob]] = []
        for kind, pattern in rules:
            if kind not in ("include", "exclude"):
                raise InvalidRequestError(f"{kind!r} is not a kind of filter: there are 'include' and 'exclude'")
            self._rules.append((kind == "include", Glob(pattern)))
        self._otherwise = not any(includes for includes, _ in self._rules)

    def __bool__(self) -> bool:
        """Whether there is any rule. If there is, empty directories are left out, as in rclone."""
        return bool(self._rules)

    def accept(self, path: str) -> bool:
        """Whether a file is wanted. `path` is its name below the tree's prefix."""
        return next((includes for includes, glob in self._rules if glob.matches(path)), self._otherwise)

    def select(self, infos: Iterable[FileInfo], prefix: str) -> list[FileInfo]:
        """Return the wanted ones of the files listed below `prefix`, which is as `unspool.core.tree.below` returns it."""
        if not self._rules:
            return list(infos)
        return [info for info in infos if self.accept(name_below(info.name, prefix))]
