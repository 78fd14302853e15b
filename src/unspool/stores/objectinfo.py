"""What an object is, from what its store says of it, and the metadata that unspool gives to the objects that it writes.

Rule 1: the revision is the entity tag without quotes, because some stores quote it in one answer and not in another.
Rule 2: metadata that makes no sense is ignored. Its names are identifiers, because Azure takes no others.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from unspool.core.model import Attributes, FileInfo
from unspool.errors import DataLossError
from unspool.stores.contenttypes import content_type_of

if TYPE_CHECKING:
    from obstore import ObjectMeta

CHECKSUM_KEY = "unspool_crc32c"
"""Has the CRC32C of the object's bytes, as 8 hexadecimal digits."""

MARK_KEY = "unspool_upload"
"""Names the upload that the object came from."""

MODIFIED_KEY = "unspool_modified_ns"
"""Has the modification time of the file that was uploaded, in nanoseconds since 1970."""

EXECUTABLE_KEY = "unspool_executable"
"""Says whether the file that was uploaded was executable: `1` or `0`."""


def metadata_of(attributes: Attributes, *, mark: str, crc32c: int | None) -> dict[str, str]:
    """Return the metadata of a new object."""
    said = {MARK_KEY: mark}
    if crc32c is not None:
        said[CHECKSUM_KEY] = f"{crc32c:08x}"
    if attributes.modified_ns is not None:
        said[MODIFIED_KEY] = str(attributes.modified_ns)
    if attributes.executable is not None:
        said[EXECUTABLE_KEY] = str(int(attributes.executable))
    return said


def described(meta: ObjectMeta, attributes: Any) -> tuple[FileInfo, str]:
    """Return what an object is, and its entity tag as the store writes it. Raises DataLossError if it has none."""
    info = info_of(meta)
    tag = meta["e_tag"]
    if info is None or tag is None:
        name = meta["path"]
        raise DataLossError(f"{name}: the object store gives it no entity tag: two versions could not be told apart", name=name)
    modified_ns = _number_in(attributes, MODIFIED_KEY, 10, -(1 << 63), 1 << 63)
    executable = _number_in(attributes, EXECUTABLE_KEY, 10, 0, 2)
    kept = Attributes(
        info.attributes.modified_ns if modified_ns is None else modified_ns,
        info.attributes.content_type,
        None if executable is None else bool(executable),
    )
    return FileInfo(info.name, info.size, info.revision, kept, _number_in(attributes, CHECKSUM_KEY, 16, 0, 1 << 32)), tag


def _number_in(attributes: Any, key: str, base: int, start: int, stop: int) -> int | None:
    """Return a number from the metadata, if it is there and in `start <= number < stop`; else None."""
    said = attributes.get(key)
    with contextlib.suppress(ValueError):
        if isinstance(said, str) and start <= (number := int(said, base)) < stop:
            return number
    return None


def info_of(meta: ObjectMeta) -> FileInfo | None:
    """Return what an object is, from a listing or an answer; None if it has no entity tag, or only a weak one."""
    tag = meta["e_tag"]
    if not tag or tag.startswith("W/"):
        return None
    name = meta["path"]
    modified_ns = int(meta["last_modified"].timestamp()) * 1_000_000_000  # some listings have fractions, answers have none
    return FileInfo(name, meta["size"], tag.strip('"'), Attributes(modified_ns, content_type_of(name)))
