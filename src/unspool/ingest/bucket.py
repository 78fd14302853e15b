"""A bucket, or what is below a prefix of it, as a place for new objects. obstore does the requests.

Rule 1: a condition is enforced by the store, at the moment when the object gets its name.
Rule 2: a file has no other files below it, and lies below none: a bucket could have both, a directory that is made of it not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from unspool.core.extras import extra
from unspool.core.model import Bytes, FileInfo
from unspool.core.reserved import UPLOADS
from unspool.core.value import value
from unspool.errors import NotAFileError, NotFoundError, ServerError
from unspool.ingest.multipart import UnmetError
from unspool.stores.contenttypes import content_type_of
from unspool.stores.httpstatus import no_bucket
from unspool.stores.objecterrors import NoBucketError, mapped
from unspool.stores.objectinfo import MARK_KEY, described

with extra("objects"):
    from obstore.exceptions import AlreadyExistsError, PreconditionError

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import ObjectStore as Objects

OnlyIf: TypeAlias = str | None
"""The condition of a new object: "" if there must be none, the entity tag of the one that must be there, None for anything."""

ABSENT: Literal[""] = ""

KEPT = "what the server keeps of uploads"
"""What an error is about that concerns an object of unspool's own: its key would tell a client nothing."""

_TRIES = 3
"""Tries of a new object that the store answers with 404. versitygw keeps objects in directories, and removes one that becomes
empty, even if an object is just put there. Each try makes the directory again, so the second one nearly always succeeds."""


@value
class FoundObject:
    """An object that is there.

    Attributes:
        info: the file.
        tag: its entity tag, as the store writes it.
        mark: of the upload that it came from; "" if it did not come from one.
    """

    info: FileInfo
    tag: str
    mark: str


@value
class Listed:
    """An object of unspool's own: its key, its size, and when it was written, in seconds since 1970."""

    key: str
    size: int
    written: float


class Bucket:
    """The objects of an obstore store.

    Every method raises what `stores.objecterrors` maps errors to, and ServerError if the bucket is not there.

    Args:
        objects: the store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    # Files

    async def current(self, name: str, directories: dict[str, asyncio.Task[None]] | None = None) -> FoundObject | None:
        """Return the object at a name; None if there is none.

        Args:
            name: the object's.
            directories: the names that were found to be no files, which are looked up once. None looks all up.

        Raises:
            NotAFileError: there are files below the name, or a part of it is a file.
        """
        known = {} if directories is None else directories
        above, checks = name.rpartition("/")[0], []
        while above:
            if above not in known:
                known[above] = asyncio.ensure_future(self._check_no_file(above))
                known[above].add_done_callback(lambda check: check.cancelled() or check.exception())  # others may ask
            checks.append(known[above])
            above = above.rpartition("/")[0]
        found, *_ = await asyncio.gather(self._current(name), *map(asyncio.shield, checks))
        return found

    async def _current(self, name: str) -> FoundObject | None:
        found = await self.head(name)
        if found is None:
            with _mapped(name):
                below = await anext(self._objects.list(name, chunk_size=1), None)
            if below is not None:
                raise NotAFileError(f"{name}: is a directory", name=name)
        return found

    async def _check_no_file(self, name: str) -> None:
        if await self.head(name) is not None:
            raise NotAFileError(f"{name}: is a file, and no directory", name=name)

    async def head(self, name: str) -> FoundObject | None:
        """Return the object at a name; None if there is none."""
        try:
            with _mapped(name):
                answer = await self._objects.get_async(name, options={"head": True})
        except NotFoundError:
            return None
        info, tag = described(answer.meta, answer.attributes)
        mark: Any = answer.attributes.get(MARK_KEY)
        return FoundObject(info, tag, mark if isinstance(mark, str) else "")

    async def put(self, name: str, data: Bytes, metadata: Mapping[str, str], only_if: OnlyIf) -> str:
        """Write a whole object, and return its entity tag.

        Raises:
            UnmetError: the condition does not hold.
        """
        content_type = content_type_of(name)
        attributes: Any = {**metadata, **({"Content-Type": content_type} if content_type else {})}
        mode: PutMode = "overwrite" if only_if is None else {"e_tag": only_if} if only_if else "create"
        for _ in range(_TRIES):
            try:
                with _mapped(name, AlreadyExistsError, PreconditionError):
                    result = await self._objects.put_async(
                        name, bytes(data), attributes=attributes, mode=mode, use_multipart=False
                    )
            except (AlreadyExistsError, PreconditionError):
                raise UnmetError from None
            except NotFoundError:
                if only_if:  # versitygw answers this if the object that must be there is not
                    raise UnmetError from None
                continue
            return str(result["e_tag"])
        said = "the object store finds no place for it (HTTP 404), again and again: whoever runs the server must look why"
        raise ServerError(f"{_told(name)}: {said}", name=name)

    # What unspool keeps

    async def get(self, key: str) -> tuple[bytes, str] | None:
        """Return the bytes and the entity tag of an object; None if there is none."""
        try:
            with _mapped(key):
                answer = await self._objects.get_async(key)
                return bytes(await answer.bytes_async()), str(answer.meta["e_tag"])
        except NotFoundError:
            return None

    async def keys(self, prefix: str) -> Sequence[Listed]:
        """Return the objects below a prefix."""
        found: list[Listed] = []
        with _mapped(prefix):
            async for metas in self._objects.list(prefix, chunk_size=1000):
                found.extend(Listed(meta["path"], meta["size"], meta["last_modified"].timestamp()) for meta in metas)
        return found

    async def directories(self, prefix: str) -> Sequence[str]:
        """Return the directories right below a prefix, by their last part."""
        with _mapped(prefix):
            found = await self._objects.list_with_delimiter_async(prefix)
        return [below.rstrip("/").rpartition("/")[2] for below in found["common_prefixes"]]

    async def remove(self, keys: Iterable[str]) -> None:
        """Remove objects. One that is not there is no error."""
        wanted = list(keys)
        if wanted:
            with _mapped(wanted[0]), suppress(FileNotFoundError):
                await self._objects.delete_async(wanted)


@contextmanager
def _mapped(name: str, *but: type[Exception]) -> Iterator[None]:
    """Map errors as `stores.objecterrors.mapped` does, but for a bucket that is not there, and keys of unspool's own."""
    try:
        with mapped(_told(name), *but):
            yield
    except NoBucketError:
        raise no_bucket(None if _told(name) == KEPT else name) from None


def _told(key: str) -> str:
    """Return what a client is told an error is about."""
    return KEPT if key.startswith(f"{UPLOADS}/") else key
