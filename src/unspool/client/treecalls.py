"""The client's calls for trees: get_tree, preview_tree."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from os import PathLike

from unspool.client.arguments import local_path
from unspool.client.connected import Connected
from unspool.client.events import Observer
from unspool.client.progress import Progress, observers_of
from unspool.client.results import TreePreviewPage, TreeResult
from unspool.core.filters import Filter, Filters
from unspool.core.names import check_prefix
from unspool.options import TransferOptions


class TreeCalls(Connected):
    """The calls for a whole tree; see `Client`."""

    async def get_tree(
        self,
        prefix: str,
        destination: str | PathLike[str],
        *,
        filters: Sequence[Filter] = (),
        record: str | PathLike[str] | bool = True,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
        progress: Progress | None = None,
    ) -> TreeResult:
        """Download all files below a prefix into a directory, each whole and verified, or not at all.

        The path of a file below the directory is its name below the prefix. Files get their attributes as in `get`. A file
        that the record or a checksum shows to be complete is skipped. Local files that the server does not have stay.
        Nothing is written outside of the directory or through a symbolic link in it.

        If a file fails, the others are still fetched; the result lists each failure and its error.

        Args:
            prefix: a name used as a directory; "" is the whole server.
            destination: the directory. It is created if it does not exist; its parent must exist.
            filters: `("include", GLOB)` and `("exclude", GLOB)`, applied in order: see `unspool.core.filters`. Excluded files
                are not counted. Without filters all files are fetched.
            record: a directory for the record, outside of the destination. It is created if it does not exist. It serves one
                destination and one server; a record of another is refused. True keeps the record below the destination.
                False keeps none: then existing files are compared by checksum, or fetched if the server has no checksum.
            progress: called as `progress(done, total)`, in bytes of the whole tree; see `Progress`.

        Raises:
            NotFoundError: the prefix does not exist.
            BusyError: another process is downloading to the directory.
            UnspoolError: an error that stops all files, such as a full disk. Files and progress so far are kept.
        """
        from unspool.client.tree import get_tree  # noqa: PLC0415 - loads in 10 ms, and only this call needs it

        check_prefix(prefix)
        return await get_tree(
            prefix,
            local_path(destination),
            self._open_seams(),
            options or self.options,
            self._observers(observers_of(observers, progress)),
            filters=Filters(filters),
            record=record if isinstance(record, bool) else local_path(record),
        )

    async def preview_tree(
        self,
        prefix: str,
        destination: str | PathLike[str],
        *,
        filters: Sequence[Filter] = (),
        record: str | PathLike[str] | bool = True,
        options: TransferOptions | None = None,
    ) -> AsyncGenerator[TreePreviewPage, None]:
        """Yield what `get_tree` would fetch, page by page as the listing arrives. Creates, writes and locks nothing.

        Arguments as `get_tree`. A local file counts as complete if the record has its revision, or if it matches a checksum in
        the listing. A file that `get_tree` would have to compare in another way counts as to be fetched. Errors as `get_tree`.
        """
        from unspool.client.preview import preview_tree  # noqa: PLC0415 - as above

        check_prefix(prefix)
        pages = preview_tree(
            prefix,
            local_path(destination),
            self._open_seams(),
            options or self.options,
            self._observers(()),
            filters=Filters(filters),
            record=record if isinstance(record, bool) else local_path(record),
        )
        async with aclosing(pages):
            async for page in pages:
                yield page
