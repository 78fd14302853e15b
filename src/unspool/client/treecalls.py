"""The client's calls for trees: get_tree, preview_tree, verify_tree."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from os import PathLike
from typing import TYPE_CHECKING

from unspool.client.arguments import local_path
from unspool.client.connected import Connected
from unspool.client.events import Observer
from unspool.client.progress import Progress, observers_of
from unspool.core.names import check_prefix
from unspool.options import TransferOptions

if TYPE_CHECKING:
    from unspool.client.treeresults import TreePreviewPage, TreeResult, TreeVerification
    from unspool.core.filters import Filter


class TreeCalls(Connected):
    """The calls for a whole tree; see `Client`."""

    async def get_tree(
        self,
        prefix: str,
        destination: str | PathLike[str],
        *,
        filters: Sequence[Filter] = (),
        record: str | PathLike[str] | bool = True,
        checksum: bool = False,
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
            checksum: read every existing file and compare its checksum, even if the record has its revision. This finds
                damage that changed neither the size nor the time of a file.
            progress: called as `progress(done, total)`, in bytes of the whole tree; see `Progress`.

        Raises:
            NotFoundError: the prefix does not exist.
            BusyError: another process is downloading to the directory.
            UnspoolError: an error that stops all files, such as a full disk. Files and progress so far are kept.
        """
        from unspool.client.tree import get_tree  # noqa: PLC0415 - loads in 10 ms, and only this call needs it
        from unspool.core.filters import Filters  # noqa: PLC0415 - as above

        check_prefix(prefix)
        return await get_tree(
            prefix,
            local_path(destination),
            self._open_seams(),
            options or self.options,
            self._observers(observers_of(observers, progress)),
            filters=Filters(filters),
            record=record if isinstance(record, bool) else local_path(record),
            checksum=checksum,
        )

    async def preview_tree(
        self,
        prefix: str,
        destination: str | PathLike[str],
        *,
        filters: Sequence[Filter] = (),
        record: str | PathLike[str] | bool = True,
        checksum: bool = False,
        options: TransferOptions | None = None,
    ) -> AsyncGenerator[TreePreviewPage, None]:
        """Yield what `get_tree` would fetch, page by page as the listing arrives. Creates, writes and locks nothing.

        Arguments as `get_tree`. A local file counts as complete if the record has its revision, or if it matches a checksum in
        the listing. A file that `get_tree` would have to compare in another way counts as to be fetched. Errors as `get_tree`.
        """
        from unspool.client.preview import preview_tree  # noqa: PLC0415 - as above
        from unspool.core.filters import Filters  # noqa: PLC0415 - as above

        check_prefix(prefix)
        pages = preview_tree(
            prefix,
            local_path(destination),
            self._open_seams(),
            options or self.options,
            self._observers(()),
            filters=Filters(filters),
            record=record if isinstance(record, bool) else local_path(record),
            checksum=checksum,
        )
        async with aclosing(pages):
            async for page in pages:
                yield page

    async def verify_tree(
        self,
        prefix: str,
        directory: str | PathLike[str],
        *,
        filters: Sequence[Filter] = (),
        sha256: bool = False,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
        progress: Progress | None = None,
    ) -> TreeVerification:
        """Compare all files below a prefix with those in a directory, by size and checksum of the whole.

        Every local file is read; the record of `get_tree` is not used. Files that only the directory has are ignored. Nothing
        is fetched or changed. If a file differs or is missing, the others are still compared; the result lists each failure.

        Args:
            prefix: a name used as a directory; "" is the whole server.
            directory: as it was given to `get_tree`.
            filters: as for `get_tree`; files that are not chosen are not compared.
            sha256: compare the SHA-256 of every file too.
            progress: called as `progress(done, total)`, in bytes compared; see `Progress`.

        Raises:
            NotFoundError: the prefix does not exist.
            LocalFileError: the directory cannot be opened.
            UnspoolError: an error that stops all files, such as a server that is gone.
        """
        from unspool.client.verifytree import verify_tree  # noqa: PLC0415 - as above
        from unspool.core.filters import Filters  # noqa: PLC0415 - as above

        check_prefix(prefix)
        return await verify_tree(
            prefix,
            local_path(directory),
            self._open_seams(),
            options or self.options,
            self._observers(observers_of(observers, progress)),
            filters=Filters(filters),
            sha256=sha256,
        )
