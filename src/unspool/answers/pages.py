"""The pages of a listing, each small enough for one message."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace

from unspool.answers.checksums import Checksums
from unspool.answers.patience import Patience
from unspool.core.model import FileInfo, ListRequest, Page
from unspool.options import ServiceOptions
from unspool.stores.base import Store

_LARGEST_PAGE_BYTES = 1 << 20
"""Most bytes of names in one message of a listing. With the other fields, a message stays well below gRPC's 4 MiB."""


class PageMaker:
    """Makes the pages that answer listings.

    Args:
        store: the store to list.
        checksums: the checksums known so far; they are added to the entries.
        options: page sizes.
    """

    def __init__(self, store: Store, checksums: Checksums, options: ServiceOptions) -> None:
        self._store = store
        self._checksums = checksums
        self._options = options

    async def pages(self, wanted: ListRequest, patience: Patience) -> AsyncGenerator[Page, None]:
        """Yield the pages of a listing, as the store finds them.

        Args:
            wanted: the request. Its page size is limited by the options.
            patience: how to wait for the store.
        """
        page_size = min(wanted.page_size or self._options.page_size, self._options.largest_page)
        pages = self._store.list(replace(wanted, page_size=page_size))
        async with aclosing(pages):
            while (page := await patience.patiently(_next(pages, patience))) is not None:
                parts = [replace(part, files=tuple(map(self._checksums.added_to, part.files))) for part in _small_enough(page)]
                del page  # hold no page while waiting for the next one
                while parts:
                    yield parts.pop(0)


async def _next(pages: AsyncGenerator[Page, None], patience: Patience) -> Page | None:
    """Return the next page, found within a turn, or None at the end."""
    async with patience.turn():
        return await anext(pages, None)


def _small_enough(page: Page) -> Iterator[Page]:
    """Split a page into parts that fit into a message. Most pages need no split."""
    files: list[FileInfo] = []
    prefixes: list[str] = []
    size = 0
    for info in page.files:
        files.append(info)
        size += len(info.name) * 4
        if size > _LARGEST_PAGE_BYTES:
            yield Page(files=tuple(files))
            files, size = [], 0
    for prefix in page.prefixes:
        prefixes.append(prefix)
        size += len(prefix) * 4
        if size > _LARGEST_PAGE_BYTES:
            yield Page(tuple(files), tuple(prefixes))
            files, prefixes, size = [], [], 0
    if files or prefixes or page.omitted:
        yield Page(tuple(files), tuple(prefixes), page.omitted)
