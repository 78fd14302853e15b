"""An open object of an object store.

Rule 1: every range is requested with the precondition that the object still has the entity tag it had when it was opened, and
        the tag, the range and the length of every answer are checked. An object that is replaced ends the read with
        FileChangedError; two versions are never mixed.
Rule 2: parts are requested ahead (`readahead`), in one task each. When the reader leaves, they are cancelled and awaited.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from unspool.core.model import FileInfo, Span
from unspool.errors import DataLossError, FileChangedError, NotFoundError
from unspool.stores.base import RunSize
from unspool.stores.objecterrors import changed, mapped, other_bytes
from unspool.stores.readahead import Budget, ReadPart, ReadParts

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Objects


class ObjectFile:
    """An object at one revision; see `OpenFile`.

    Args:
        objects: the store.
        info: the file.
        tag: the entity tag, as the store writes it.
        budget: of the bytes requested ahead.
    """

    def __init__(self, objects: Objects, info: FileInfo, tag: str, budget: Budget) -> None:
        self.info = info
        self._objects = objects
        self._tag = tag
        self._budget = budget

    async def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[memoryview, None]:
        """See `OpenFile.read`. Reads ahead by up to four parts of 8 MiB, if there is room for them in all."""
        parts = ReadParts(span, self._budget)
        requested: deque[tuple[ReadPart, asyncio.Task[memoryview]]] = deque()
        position = span.start
        try:
            while True:
                while (part := parts.next(len(requested))) is not None:
                    requested.append((part, asyncio.create_task(fetch(self._objects, self.info, self._tag, part.span))))
                if not requested:
                    return
                part, task = requested[0]
                data = await task
                while position < part.span.stop:
                    at = position - part.span.start
                    run = data[at : at + run_size(position)]
                    position += len(run)
                    yield run
                del data
                requested.popleft()
                parts.done(part)
        finally:
            for part, task in requested:
                task.cancel()
                parts.done(part)
            await asyncio.gather(*(task for _, task in requested), return_exceptions=True)

    async def steady(self) -> bool:
        """See `OpenFile.steady`. Objects are replaced and never changed."""
        return True

    async def aclose(self) -> None:
        """See `OpenFile.aclose`. Nothing is held open."""


async def fetch(objects: Objects, info: FileInfo, tag: str, span: Span) -> memoryview:
    """Return the bytes of a span, which is not empty, of an object with this entity tag.

    Raises:
        FileChangedError: the object has another tag, or is gone.
        DataLossError: the answer does not have the bytes asked for.
    """
    name = info.name
    try:
        with mapped(name):
            answer = await objects.get_async(name, options={"range": (span.start, span.stop), "if_match": tag})
            if answer.meta["e_tag"] != tag:
                raise changed(name)
            if answer.range != (span.start, span.stop) or answer.meta["size"] != info.size:
                raise other_bytes(name, span.start)
            data = memoryview(await answer.bytes_async())
    except (NotFoundError, FileChangedError) as error:
        raise FileChangedError(changed(name).message, name=name, offset=span.start) from error
    if len(data) != span.length:
        raise DataLossError(
            f"{name}: the object store sent {len(data)} bytes instead of {span.length}", name=name, offset=span.start
        )
    return data
