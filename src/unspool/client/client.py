"""The client: stat, exists, list, get, open, read, verify."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Literal, Self, overload

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
from unspool.client.verify import verify
from unspool.client.writer import Writer, check_writer, write_to
from unspool.core.abridged import abridged
from unspool.core.address import parse_server
from unspool.core.filters import Filter, Filters
from unspool.core.model import Entry, FileInfo, ListRequest, Page, Prefix
from unspool.core.names import check_name, check_prefix
from unspool.core.receiver import Receiver
from unspool.errors import InvalidRangeError, InvalidRequestError, LocalFileError, NotFoundError
from unspool.local.copy import LocalCopy
from unspool.local.destination import Destination
from unspool.options import Dialect, Metadata, TransferOptions


class Client:
    """One server, as an async context manager. Safe to use from many tasks at once.

    Args:
        target: `HOST[:PORT]`, the same after `unspool://`, or a name of gRPC's own such as `unix:PATH`. It is dialled when
            something is first asked: a client may be made where no event loop runs, and is used in one.
        options: how transfers behave, unless a call says otherwise.
        dialect: which protocol the server speaks.
        metadata: keys and values sent with every call.
        observers: are told what happens in every transfer.
        limit_rate: bytes per second that are taken, by all streams of all calls together; a `RateLimit` may be given to
            several clients, which share it then. None is as fast as they come.
        transport, clock, random: the seams, for tests; a transport given here is closed here.
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
        """Close the connection. Transfers that are running fail, and nothing more can be asked."""
        self._closed = True
        await self._seams.transport.aclose()

    # Every call takes `options`, for this call only, and `observers`, which are told what happens after the client's own.

    async def stat(self, name: str, *, options: TransferOptions | None = None, observers: Sequence[Observer] = ()) -> FileInfo:
        """Return what the file is now.

        Raises:
            NotFoundError, AccessError, TransferError, ...: see `unspool.errors`.
        """
        check_name(name)
        transfer = self._transfer(options, observers)
        return await transfer.call(lambda: transfer.seams.transport.stat(name), name)

    async def exists(self, name: str, *, options: TransferOptions | None = None, observers: Sequence[Observer] = ()) -> bool:
        """Return whether there is a file of that name. A directory is none.

        Raises:
            AccessError, TransferError, ...: what stands in the way of knowing; see `unspool.errors`.
        """
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
        """Yield what is below a prefix as it arrives, in no promised order: files, and prefixes for what is deeper.

        If recursive, these are files only; `pages` tells of empty directories and of what the server leaves out, too.

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
        """Yield what is below a prefix, page by page: what the server found at about the same time.

        Args:
            prefix: a name taken as a directory; "" is everything. The name of a file lists that file.
            recursive: all files below, and the empty directories as prefixes; otherwise one level.
            page_size: entries per page, as a wish.
            options: for this call only.
            observers: are told what happens, after the client's own.

        Raises:
            NotFoundError: nothing is there.
            TransferError: the listing broke. One that has not yielded anything is begun again by itself; one that has is
                not, for nothing says where it stopped.
        """
        check_prefix(prefix)
        transfer = self._transfer(options, observers)
        request = ListRequest(prefix, recursive, page_size)
        async for attempt in transfer.attempts():
            with attempt:
                async with aclosing(transfer.pages(request)) as pages:
                    async for page in pages:
                        attempt.final = True  # nothing says where a listing stopped: one that has yielded is not begun again
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

        To a path: goes on from what an earlier call left beside it, whatever ended that one, and puts the file at its final
        name in one step when every byte is there and agrees. A destination that is a directory gets the name's last part; one
        that ends in `/` must be a directory.
        A destination that has the server's bytes already is not fetched. Either way it gets the server's time of modification,
        and becomes executable if it is so there, unless the options say otherwise.

        To a writer: writes the blocks in order as they are verified; the last one only when the whole file has agreed. What
        was written cannot be taken back, so a file that changes meanwhile is an error.

        Args:
            name: the file on the server.
            destination: where to.
            options: for this call only.
            observers: are told what happens, after the client's own.
            progress: is called as `progress(done, total)`, in bytes; see `Progress`.

        Raises:
            UnspoolError: one of the tree in `unspool.errors`. To a path, progress is kept.
        """
        check_name(name)
        options = options or self.options
        observer = self._observers(observers_of(observers, progress))
        if isinstance(destination, (str, PathLike)):
            path = _path(destination)
            if await asyncio.to_thread(os.path.isdir, path):  # unlike Path.is_dir, this raises nothing
                path /= name.rpartition("/")[2]
            elif str(destination).endswith("/"):
                raise LocalFileError(f"{destination}: no such directory; make it, or leave the last / away", name=name)
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

        Each file gets its name below the prefix as its place below the directory, and attributes as `get` gives them. What
        is here already is skipped: known from the record that is kept in the directory, or compared by checksum. What is here
        and not on the server stays. Nothing is written outside of the directory, nor through a symbolic link in it.

        A file that cannot be had stops no other: the result says which, and why.

        Args:
            prefix: a name taken as a directory; "" is everything.
            destination: the directory, which is made if it is not there; the one above it must be.
            filters: `("include", GLOB)` and `("exclude", GLOB)`, in their order: see `unspool.core.filters`. Files that are
                left out so are not counted. Without filters all files are wanted.
            record: the directory, outside of the destination, in which the record is kept of what is here. It is made if it
                is not there, and is about one destination and one server: another's is refused. True keeps the record below
                the destination; False keeps none, and then every file that is here is compared by checksum, or fetched
                where the server has none.
            options: for this call only.
            observers: are told what happens, after the client's own.
            progress: is called as `progress(done, total)`, in bytes of the whole tree; see `Progress`.

        Raises:
            NotFoundError: nothing is there.
            BusyError: another process is filling the directory.
            UnspoolError: what stops all files: nobody answers, the disk is full. What is here by then is kept.
        """
        from unspool.client.tree import get_tree  # noqa: PLC0415 - 10 ms that other calls need not wait for

        check_prefix(prefix)
        return await get_tree(
            prefix,
            _path(destination),
            self._open_seams(),
            options or self.options,
            self._observers(observers_of(observers, progress)),
            filters=Filters(filters),
            record=record if isinstance(record, bool) else _path(record),
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
        """Yield what `get_tree` would fetch, page by page as the listing arrives. Makes, writes and locks nothing.

        Arguments as `get_tree`. A file counts as here if the record vouches for it, or if it is read and agrees with a
        checksum that the server lists; one that only a download could tell to be complete counts as to be fetched.

        Raises:
            NotFoundError: nothing is there.
            LocalFileError: the destination cannot be looked at, or the record is another tree's.
        """
        from unspool.client.preview import preview_tree  # noqa: PLC0415 - as above

        check_prefix(prefix)
        pages = preview_tree(
            prefix,
            _path(destination),
            self._open_seams(),
            options or self.options,
            self._observers(()),
            filters=Filters(filters),
            record=record if isinstance(record, bool) else _path(record),
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
        """Open a span of a file, to be read as it arrives.

            async with client.open(name) as reading:
                async for data in reading: ...

        Args:
            name: the file on the server.
            start: first byte wanted.
            length: how many; None is to the end of the file. Cut at the end of the file.
            revision: these bytes or fail.
            options: for this call only.
            observers: are told what happens, after the client's own.
            progress: is called as `progress(done, total)`, in bytes of the span; see `Progress`.

        Raises:
            StartPastEndError: `start` lies beyond the end of the file.
            FileChangedError: the file is not at `revision`, or changed while it was read.
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
        """Return a span of a file, verified; arguments and errors as `open`. Holds it in memory."""
        async with self.open(
            name, start=start, length=length, revision=revision, options=options, observers=observers, progress=progress
        ) as reading:
            return await reading.read()

    async def verify(
        self,
        name: str,
        path: str | PathLike[str],
        *,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> FileInfo:
        """Return the server's description of the file if the local one has the same bytes.

        Raises:
            FileMismatchError: it has not.
            VerificationError: the server has no checksum to compare with.
        """
        check_name(name)
        local = _path(path)
        return await verify(name, LocalCopy(local, local), self._transfer(options, observers))

    def _open_seams(self) -> Seams:
        if self._closed:
            raise InvalidRequestError(f"{self._seams.transport.source}: the client was closed: make another one")
        return self._seams

    def _transfer(self, options: TransferOptions | None, observers: Sequence[Observer]) -> Transfer:
        return Transfer(self._open_seams(), options or self.options, self._observers(observers))

    def _observers(self, more: Sequence[Observer]) -> Observers:
        return Observers(*self._always, *more)


def _path(path: str | PathLike[str]) -> Path:
    """Return a path given by a caller. Raises InvalidRequestError if it is none."""
    try:
        return Path(path)
    except TypeError as error:
        raise InvalidRequestError(f"{abridged(repr(path))} is not a path: give a string or a pathlib.Path") from error
