"""Decides whether a new file may have its name, whether the name has its bytes already, and whether a file may be removed.

Rule 1: the condition comes first. A file that must be absent is refused even if what is there has the same bytes: of two
        clients that create a file, only one succeeds.
Rule 2: a file that is not there cannot be removed, whatever the condition: who asks again after a lost answer must see that it
        is gone, and not that it changed.
"""

from __future__ import annotations

from unspool.core.model import FileInfo
from unspool.core.uploading import Condition, UploadOpen
from unspool.errors import AlreadyExistsError, FileChangedError, NotFoundError


def check_condition(name: str, condition: Condition, current: FileInfo | None) -> None:
    """Check what is at the name of a new file.

    Args:
        name: name of the file.
        condition: what must be there.
        current: what is there; None for nothing.

    Raises:
        AlreadyExistsError: there must be no file, and there is one.
        FileChangedError: there must be a file at another revision.
    """
    if condition.absent and current is not None:
        raise AlreadyExistsError(f"{name}: exists already, at revision {current.revision}", name=name)
    if condition.revision is None:
        return
    if current is None:
        raise FileChangedError(f"{name}: there is no such file, and it was to be at revision {condition.revision}", name=name)
    _check_revision(name, condition.revision, current)


def check_present(name: str, revision: str | None, current: FileInfo | None) -> FileInfo:
    """Check what is at the name of a file that is to be removed, and return it.

    Args:
        name: name of the file.
        revision: the revision that must be there; None for any.
        current: what is there; None for nothing.

    Raises:
        NotFoundError: there is no file.
        FileChangedError: the file is at another revision.
    """
    if current is None:
        raise NotFoundError(f"{name}: no such file", name=name)
    if revision is not None:
        _check_revision(name, revision, current)
    return current


def _check_revision(name: str, revision: str, current: FileInfo) -> None:
    if current.revision != revision:
        raise FileChangedError(
            f"{name}: the file changed: it is at revision {current.revision} now, not at {revision}", name=name
        )


def may_be_same(opens: UploadOpen, current: FileInfo | None) -> bool:
    """Whether the name of an upload may have its bytes already, so that it is worth reading them for their checksum.

    Args:
        opens: says what the client knows of the new file.
        current: the file that is at the name; None for nothing.
    """
    if current is None or opens.crc32c is None or current.size != opens.size:
        return False
    return current.crc32c in (None, opens.crc32c)
