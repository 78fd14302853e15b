"""Gives an object its name, under a condition.

Rule 1: the store checks the condition, at the moment when the object gets its name.
Rule 2: a request that failed may have succeeded all the same: the answer was lost, or it was sent again by the HTTP client. The
        mark in the object's metadata tells.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace

from unspool.core.condition import check_condition
from unspool.core.model import Attributes, FileInfo
from unspool.core.uploading import Condition
from unspool.errors import AlreadyExistsError, FileChangedError, UnspoolError
from unspool.ingest.bucket import ABSENT, Bucket, FoundObject, OnlyIf
from unspool.ingest.multipart import GoneError, LostPartError, UnmetError
from unspool.stores.contenttypes import content_type_of


def condition_of(name: str, condition: Condition, current: FoundObject | None) -> OnlyIf:
    """Check the condition of a new file against what is there, and return it as the store understands it.

    Raises:
        AlreadyExistsError, FileChangedError: it does not hold.
    """
    check_condition(name, condition, None if current is None else current.info)
    if condition.absent:
        return ABSENT
    return None if condition.revision is None or current is None else current.tag


async def committed(bucket: Bucket, name: str, condition: Condition, mark: str, request: Awaitable[str]) -> str:
    """Await the request that makes an object with this mark, and return its entity tag.

    Raises:
        AlreadyExistsError, FileChangedError: the condition does not hold.
        GoneError, LostPartError: as the request raised them.
    """
    try:
        return await request
    except (UnmetError, GoneError, LostPartError, UnspoolError) as error:
        found = await bucket.head(name)
        if found is not None and found.mark == mark:
            return found.tag
        if not isinstance(error, UnmetError):
            raise
    check_condition(name, condition, None if found is None else found.info)
    kind = AlreadyExistsError if condition.absent else FileChangedError
    raise kind(f"{name}: another file had the name for a moment: try again", name=name)


async def described(bucket: Bucket, new: FileInfo, mark: str) -> FileInfo:
    """Return what a new file is.

    Args:
        bucket: has it.
        new: as far as it is known, with the attributes that the client gave.
        mark: in its metadata.
    """
    if new.attributes.modified_ns is None:  # then it is the time of the store
        found = await bucket.head(new.name)
        if found is not None and found.mark == mark:
            return replace(found.info, crc32c=new.crc32c)
    kept = Attributes(new.attributes.modified_ns, content_type_of(new.name), new.attributes.executable)
    return replace(new, attributes=kept)
