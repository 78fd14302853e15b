"""The way from the root of a directory to what a name leads to.

Rule 1: nothing outside the root is ever opened. A name is walked part by part from the root's descriptor, never resolved to a
        path and then opened, so a symbolic link swapped in between check and use changes nothing. Links are followed by this
        walk itself, as long as they stay below the root (what Linux calls RESOLVE_BENEATH).
Rule 2: what unspool keeps for itself is not served: unfinished downloads and records of trees, of somebody who fetches into
        this directory. No walk leads there, by whatever link.
Rule 3: a hidden file (`unspool.core.names.is_hidden`) is served only if that was asked for. What counts is the name that a
        client gives. A link with a plain name may lead to a hidden file: whoever made it gave the file that name. Mounted
        volumes of Kubernetes, for one, consist of such links.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from unspool.core.names import is_hidden
from unspool.core.ours import is_ours
from unspool.errors import NotFoundError, OutsideRootError
from unspool.stores.oserrors import mapped
from unspool.stores.threads import Use

_MAX_LINKS = 40
"""Symbolic links followed for one name before it counts as a circle (Linux: 40)."""

WAY_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""A directory on the way to a file need not be readable, only searchable; Linux can open it so."""


class Root:
    """The directory that is served. Its methods are for worker threads, but for `close`.

    Args:
        path: where it is. It is opened at once; what the path means later does not matter.
        hidden: whether hidden files are served.

    Raises:
        NotFoundError, PermissionDeniedError: it cannot be opened as a directory.
    """

    def __init__(self, path: str, *, hidden: bool) -> None:
        self._hidden = hidden
        with mapped(path):
            try:
                self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except NotADirectoryError as error:
                raise NotFoundError(f"{path}: is not a directory", name=path) from error
        self._use = Use(lambda: os.close(self._descriptor))

    def close(self) -> None:
        """Let no walk begin any more; those that have begun have their own descriptors."""
        self._use.end()

    def shows(self, name: str) -> bool:
        """Whether rule 3 lets a name be served, or the last part of one whose other parts it lets be served."""
        return self._hidden or not is_hidden(name)

    def check_shown(self, name: str) -> None:
        """Raise NotFoundError if rule 3 is against a name, whether or not there is such a file."""
        if not self.shows(name):
            raise NotFoundError(f"{name}: is not served: part of the name begins with a dot", name=name)

    @contextmanager
    def walk(self, name: str, parts: tuple[str, ...]) -> Iterator[Place]:
        """Find what a name leads to, following links that stay below the root.

        Yields a directory's descriptor, valid inside the `with`, and the last part in it; that part is no link.
        """
        self.check_shown(name)
        with self._use:
            opened = [os.dup(self._descriptor)]  # the directories from the root down to where the walk is
        todo = list(reversed(parts))
        links = 0
        try:
            while todo:
                part = todo.pop()
                if part in ("", "."):
                    continue
                if part == "..":
                    if len(opened) == 1:
                        raise OutsideRootError(f"{name}: leads out of what is served", name=name)
                    os.close(opened.pop())
                    continue
                check_served(name, part)
                status = os.stat(part, dir_fd=opened[-1], follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    links += 1
                    if links > _MAX_LINKS:
                        raise NotFoundError(f"{name}: too many symbolic links", name=name)
                    target = _target(part, opened[-1])
                    if target.startswith("/"):
                        raise OutsideRootError(f"{name}: leads out of what is served", name=name)
                    todo.extend(reversed(target.split("/")))
                elif todo:
                    opened.append(os.open(part, WAY_THROUGH, dir_fd=opened[-1]))
                else:
                    yield Place(opened[-1], part, status)
                    return
            yield Place(opened[-1], None, os.fstat(opened[-1]))
        finally:
            for descriptor in opened:
                os.close(descriptor)


def check_served(name: str, part: str) -> None:
    """Raise NotFoundError if a part of a name is one of ours (rule 2)."""
    if is_ours(part):
        raise NotFoundError(f"{name}: is not served: unspool keeps something of its own under such names", name=name)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name leads: a directory's descriptor and a part in it. `last` None is the directory itself."""

    directory: int
    last: str | None
    status: os.stat_result


def _target(link: str, directory: int) -> str:
    """Return where a link leads; if it is no link any more, that is itself, to be looked at again."""
    try:
        return os.readlink(link, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return link
