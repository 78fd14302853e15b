"""The preview of a tree: what `get_tree` would fetch, page by page as the listing arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing
from functools import partial
from pathlib import Path

from unspool.client.events import Observer
from unspool.client.seams import Seams
from unspool.client.transfer import Transfer
from unspool.client.treeresults import TreePreviewPage
from unspool.core.filters import Filters
from unspool.core.model import ListRequest
from unspool.core.tree import below
from unspool.local.preview import TreePreview
from unspool.options import TransferOptions


async def preview_tree(
    prefix: str,
    destination: Path,
    seams: Seams,
    options: TransferOptions,
    observer: Observer,
    *,
    filters: Filters,
    record: Path | bool,
    checksum: bool,
) -> AsyncGenerator[TreePreviewPage, None]:
    """Yield which files below a prefix would be fetched, kept or refused; see `Client.preview_tree`."""
    transfer = Transfer(seams, options, observer)
    opens = partial(
        TreePreview,
        destination,
        prefix,
        overwrite=options.overwrite,
        resume=options.resume,
        reread=checksum,
        record=record,
        source=seams.transport.source,
    )
    with transfer.observed("preview_tree", prefix), closing(await asyncio.to_thread(opens)) as place:
        async for attempt in transfer.attempts():
            with attempt:
                async with aclosing(transfer.pages(ListRequest(prefix, recursive=True))) as pages:
                    async for page in pages:
                        attempt.final = True  # a retry would yield this page again
                        looked = await asyncio.to_thread(place.look, filters.select(page.files, below(prefix)))
                        wanted = tuple(one.info for one in looked.wanted)
                        yield TreePreviewPage(wanted, looked.kept, tuple(looked.failures), page.omitted)
