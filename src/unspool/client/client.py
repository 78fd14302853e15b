"""The client: stat, exists, list, get, open, read, verify."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from os import PathLike
from random import Random
from types import TracebackType
from typing import Literal, Self, overload

from unspool.client.arguments import file_path, local_path
from unspool.client.clock import Clock, SystemClock
from unspool.client.dialects import connect
from unspool.client.download import download
from unspool.client.events import Observer, Observers
from unspool.client.progress import Progress, observers_of
from unspool.client.ratelimit import RateLimit
from unspool.client.reading import Reading
from unspool.client.results import Result, TreePreviewPage, TreeResult
from unspool.client.transfer import Seams, Transfer
from unspool.client.transport import Transport
from unspool.client.verify import stat, verify
from unspool.client.writer import Writer, check_writer, write_to
from unspool.core.address import parse_server
from unspool.core.filters import Filter, Filters
from unspool.core.model import Entry, FileInfo, ListRequest, Page, Prefix
from unspool.core.names import check_name, check_prefix
from unspool.core.receiver import Receiver
from unspool.errors import InvalidRangeError, InvalidRequestError, NotFoundError
from unspool.local.copy import LocalCopy
from unspool.local.destination import Destination
from unspool.options import Dialect, Metadata, TransferOptions


class Client:
    """One server, as an async context manager. Safe to use from many tasks at once.

    Most calls take `options` and `observers` for that call only; these observers are notified after the client's own.

    Args:
        target: `HOST[:PORT]`, `unspool://HOST[:PORT]`, or a gRPC target such as `unix:PATH`. The client connects at the first
            call, so it can be created where no event loop runs.
        options: how transfers behave, unless a call passes its own.
        dialect: the protocol that the server speaks.
        metadata: keys and values sent with every call.
        observers: notified of the events of every transfer.
        limit_rate: the most bytes per second that all streams of all calls receive together. Several clients given the same
            `RateLimit` share it. None means no limit.
        transport, clock, random: replaced in tests. The client closes a transport that it is given.
    """

    def __init__(
        self,
        target: str = "",
        *,
        options: TransferOptions | None = None,
        dialect: Dialect = "unspool",
        metadata: Metadata = (),
        observers: Sequence[Observer] = (),
        limit_rate: float | RateLimit | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.options = options or TransferOptions()
        self._always = tuple(observers)
        self._closed = False
        if transport is None:
            target = parse_server(target)
        self._seams = Seams(
            transport=transport or connect(target, dialect, metadata),
            clock=clock or SystemClock(),
            random=random or Random(),  # noqa: S311 - spreads retries and names transfers; guards nothing
            connect=None if transport is not None else lambda: connect(target, dialect, metadata),
            limit=limit_rate if limit_rate is None or isinstance(limit_rate, RateLimit) else RateLimit(limit_rate),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection. Running transfers fail, and later calls raise InvalidRequestError."""
        self._closed = True
        await self._seams.transport.aclose()

    async def stat(
        self,
        name: str,
        *,
        sha256: bool = False,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> FileInfo:
        """Return the size, revision and attributes that the file has now.

        With `sha256` also the SHA-256 of its bytes. The server reads the whole file for it, once per revision.

        Raises:
            UnsupportedError: the SHA-256 is wanted, and the server has none.
            NotFoundError, AccessError, TransferError, ...: see `unspool.errors`.
        """
        check_name(name)
        return await stat(name, self._transfer(options, observers), sha256=sha256)

    async def exists(self, name: str, *, options: TransferOptions | None = None, observers: Sequence[Observer] = ()) -> bool:
        """Return whether the server has a file of this name (a directory is not one). Raises as `stat` otherwise."""
        try:
            await self.stat(name, options=options, observers=observers)
        except NotFoundError:
            return False
        return True

    @overload
    def list(
        self,
        prefix: str = "",
        *,
        recursive: Literal[True],
        page_size: int | None = None,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> AsyncGenerator[FileInfo, None]: ...

    @overload
    def list(
        self,
        prefix: str = "",
        *,
        recursive: bool = False,
        page_size: int | None = None,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> AsyncGenerator[Entry, None]: ...

    async def list(
        self,
        prefix: str = "",
        *,
        recursive: bool = False,
        page_size: int | None = None,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> AsyncGenerator[Entry, None]:
        """Yield the files and prefixes below a prefix as they arrive, in no particular order; if recursive, only files.

        `pages` also yields empty directories and the names that the server omits.

            async for entry in client.list("models"):
                print(entry.name)

        Arguments and errors as `pages`.
        """
        async with aclosing(
            self.pages(prefix, recursive=recursive, page_size=page_size, options=options, observers=observers)
        ) as pages:
            async for page in pages:
                for below in () if recursive else page.prefixes:
                    yield Prefix(below)
                for info in page.files:
                    yield info

    async def pages(
        self,
        prefix: str = "",
        *,
        recursive: bool = False,
        page_size: int | None = None,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> AsyncGenerator[Page, None]:
        """Yield the listing of a prefix, page by page as the server sends it.

        Args:
            prefix: a name used as a directory; "" lists the whole server. The name of a file lists that file.
            recursive: list all files below, and the empty directories as prefixes; otherwise list one level.
            page_size: most entries per page. The server may send fewer.

        Raises:
            NotFoundError: the prefix does not exist.
            TransferError: the listing broke after its first page: it cannot be resumed. Before that the client retries.
        """
        check_prefix(prefix)
        transfer = self._transfer(options, observers)
        request = ListRequest(prefix, recursive, page_size)
        async for attempt in transfer.attempts():
            with attempt:
                async with aclosing(transfer.pages(request)) as pages:
                    async for page in pages:
                        attempt.final = True  # a listing cannot be resumed, and a retry would yield this page twice
                        yield page

    async def get(
        self,
        name: str,
        destination: str | PathLike[str] | Writer,
        *,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
        progress: Progress | None = None,
    ) -> Result:
        """Download a file, whole and verified, or not at all.

        To a path: resumes from the part file of an earlier call, and renames the file to its final name when all bytes are
        verified. In a directory the file gets the last part of its name. A destination that ends in `/` must be a directory.
        A file that already has the server's bytes is not fetched again. In both cases the file gets the server's modification
        time and executable bit, unless the options say otherwise.

        To a writer: writes each verified block in order, and the last block after the whole file is verified. Written bytes
        cannot be taken back, so a change of the file during the download is an error.

        Args:
            destination: a path, or a writer of bytes.
            progress: called as `progress(done, total)`, in bytes; see `Progress`.

        Raises:
            UnspoolError: see `unspool.errors`. A download to a path keeps its progress.
        """
        check_name(name)
        options = options or self.options
        observer = self._observers(observers_of(observers, progress))
        if isinstance(destination, (str, PathLike)):
            path = await file_path(destination, name)
            return await download(name, partial(Destination.at, path), self._open_seams(), options, observer)
        check_writer(destination)
        return await write_to(destination, name, Transfer(self._open_seams(), options, observer))

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

    @asynccontextmanager
    async def open(
        self,
        name: str,
        *,
        start: int = 0,
        length: int | None = None,
        revision: str | None = None,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
        progress: Progress | None = None,
    ) -> AsyncGenerator[Reading, None]:
        """Open a span of a file for reading as it arrives.

            async with client.open(name) as reading:
                async for data in reading: ...

        Args:
            start: the first byte.
            length: the number of bytes, at most to the end of the file; None reads to the end.
            revision: the revision to read; if the file has another one, this fails.
            progress: called as `progress(done, total)`, in bytes of the span; see `Progress`.

        Raises:
            StartPastEndError: `start` is past the end of the file.
            FileChangedError: the file does not have `revision`, or changed during the read.
        """
        check_name(name)
        if start < 0 or (length is not None and length < 0):
            raise InvalidRangeError(f"{name}: start {start} and length {length} must not be negative", name=name)
        transfer = self._transfer(options, observers)
        stop = None if length is None else start + length
        receiver = Receiver(name, start, stop, revision=revision, transfer_id=transfer.id)
        async with aclosing(transfer.blocks(receiver)) as blocks:
            first = await anext(blocks, None)
            reading = Reading(receiver, first, blocks, progress)
            try:
                yield reading
            finally:
                reading.close()

    async def read(
        self,
        name: str,
        *,
        start: int = 0,
        length: int | None = None,
        revision: str | None = None,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
        progress: Progress | None = None,
    ) -> bytes:
        """Return the verified bytes of a span of a file, in memory. Arguments and errors as `open`."""
        async with self.open(
            name, start=start, length=length, revision=revision, options=options, observers=observers, progress=progress
        ) as reading:
            return await reading.read()

    async def verify(
        self,
        name: str,
        path: str | PathLike[str],
        *,
        sha256: bool = False,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> FileInfo:
        """Compare a local file with the server's; if the bytes are the same, return the server's description of the file.

        With `sha256` their SHA-256 must be the same too.

        Raises:
            FileMismatchError: the bytes differ.
            VerificationError: the server has no checksum to compare with.
            UnsupportedError: the SHA-256 is wanted, and the server has none.
        """
        check_name(name)
        local = local_path(path)
        return await verify(name, LocalCopy(local, local), self._transfer(options, observers), sha256=sha256)

    def _open_seams(self) -> Seams:
        if self._closed:
            raise InvalidRequestError(f"{self._seams.transport.source}: the client was closed: make another one")
        return self._seams

    def _transfer(self, options: TransferOptions | None, observers: Sequence[Observer]) -> Transfer:
        return Transfer(self._open_seams(), options or self.options, self._observers(observers))

    def _observers(self, more: Sequence[Observer]) -> Observers:
        return Observers(*self._always, *more)
