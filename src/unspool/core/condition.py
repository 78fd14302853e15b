"""Decides whether a new file may have its name, and whether the name has its bytes already.

Rule 1: the condition comes first. A file that must be absent is refused even if what is there has the same bytes: of two
        clients that create a file, only one succeeds.
"""

from __future__ import annotations

from unspool.core.model import FileInfo
from unspool.core.uploading import Condition, UploadOpen
from unspool.errors import AlreadyExistsError, FileChangedError


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
    if current.revision != condition.revision:
        raise FileChangedError(
            f"{name}: the file changed: it is at revision {current.revision} now, not at {condition.revision}", name=name
        )


def may_be(opens: UploadOpen, current: FileInfo | None) -> bool:
    """Whether the name of an upload may have its bytes already, so that it is worth reading them for their checksum.

    Args:
        opens: says what the client knows of the new file.
        current: the file that is at the name; None for nothing.
    """
    if current is None or opens.crc32c is None or current.size != opens.size:
        return False
    return current.crc32c in (None, opens.crc32c)
