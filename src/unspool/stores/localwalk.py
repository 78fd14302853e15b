"""Resolves names below the root directory, without leaving it.

Rule 1: nothing outside the root is ever opened. A name is walked part by part from the root's descriptor, and never resolved to
        a path that is opened later, so a symbolic link swapped in between check and use has no effect. The walk itself follows
        links, as long as they stay below the root (like RESOLVE_BENEATH of Linux).
Rule 2: unspool's own files are not served: part files, journals and records of trees, which exist if a client downloads into
        this directory. The walk refuses them, also behind links.
Rule 3: a hidden file (`unspool.core.names.is_hidden`) is served only if the store is opened with `hidden`. The name that the
        client gives counts. A link with a plain name may lead to a hidden file, because its owner gave the file that name.
        Mounted volumes of Kubernetes, for example, consist of such links.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from unspool.core.names import is_hidden
from unspool.core.reserved import is_reserved
from unspool.errors import NotFoundError, OutsideRootError, UnreachableError
from unspool.stores.oserrors import mapped
from unspool.stores.threads import Use

log = logging.getLogger("unspool.stores")

_MAX_LINKS = 40
"""Most symbolic links followed for one name, as on Linux."""

WAY_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags to open a directory on the way to a file. With O_PATH, on Linux, it must be searchable but need not be readable."""


def open_root(path: str) -> int:
    """Open the directory that is served, for all that is done below it.

    Raises:
        NotFoundError, PermissionDeniedError: it cannot be opened as a directory.
    """
    with mapped(path):
        try:
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFoundError(f"{path}: no such directory", name=path) from error
        except NotADirectoryError as error:
            raise NotFoundError(f"{path}: is not a directory", name=path) from error


class Root:
    """The directory that is served. Call its methods from worker threads, except `close`.

    Args:
        path: the directory. It is opened at once, so moving or replacing the path later has no effect. If it is removed, no
            name can be walked.
        hidden: whether hidden files are served.

    Raises:
        NotFoundError, PermissionDeniedError: it cannot be opened as a directory.
    """

    def __init__(self, path: str, *, hidden: bool) -> None:
        self._hidden = hidden
        self._path = path
        self._descriptor = open_root(path)
        self._has_links = self._links() > 0  # some FUSE file systems count none
        self._told = False
        self._use = Use(lambda: os.close(self._descriptor))

    def close(self) -> None:
        """Refuse new walks. Running walks continue, because they have their own descriptors."""
        self._use.end()

    def shows(self, name: str) -> bool:
        """Whether rule 3 allows a name to be served. If its other parts are allowed, the last part alone is enough."""
        return self._hidden or not is_hidden(name)

    def check_shown(self, name: str) -> None:
        """Raise NotFoundError if rule 3 forbids a name, whether or not the file exists."""
        if not self.shows(name):
            raise NotFoundError(f"{name}: is not served: part of the name begins with a dot", name=name)

    def _links(self) -> int:
        return os.fstat(self._descriptor).st_nlink

    def _check_there(self, name: str) -> None:
        """Raise UnreachableError if the directory was removed: it looks empty, so every file would seem not to exist."""
        if not self._has_links or self._links():
            return
        if not self._told:
            self._told = True
            log.error("%s, which is served, was removed: restart the server", self._path)
        about = f"{name}: " if name else ""
        raise UnreachableError(f"{about}the directory that is served was removed: the server must be restarted", name=name)

    @contextmanager
    def walk(self, name: str, parts: tuple[str, ...]) -> Iterator[Found]:
        """Find the file or directory that a name leads to, following links that stay below the root.

        Yields the descriptor of its directory, valid inside the `with`, and its name there, which is not a link.

        Raises:
            UnreachableError: the root was removed.
            NotFoundError, OutsideRootError, OSError: the name leads nowhere, or out of the root.
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
                    yield Found(opened[-1], part, status)
                    return
            self._check_there(name)
            yield Found(opened[-1], None, os.fstat(opened[-1]))
        except FileNotFoundError:
            self._check_there(name)
            raise
        finally:
            for descriptor in opened:
                os.close(descriptor)


def check_served(name: str, part: str) -> None:
    """Raise NotFoundError if a part of a name is reserved for unspool's own files (rule 2)."""
    if is_reserved(part):
        raise NotFoundError(f"{name}: is not served: unspool keeps something of its own under such names", name=name)


@dataclass(frozen=True, slots=True)
class Found:
    """What a name leads to: a directory's descriptor, a name in it and its status. `last` None is the directory itself."""

    directory: int
    last: str | None
    status: os.stat_result


def _target(link: str, directory: int) -> str:
    """Return the target of a link. If it is no longer a link, return its own name, so that the walk looks at it again."""
    try:
        return os.readlink(link, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return link
