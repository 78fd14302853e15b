"""The client, and its calls that read one file, and listings: stat, exists, list, get, open, read, read_many, verify."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, overload

from unspool.client.arguments import file_path, local_path
from unspool.client.events import Observer
from unspool.client.progress import Progress, observers_of
from unspool.client.reading import Reading
from unspool.client.transfer import Transfer
from unspool.client.treecalls import TreeCalls
from unspool.client.verify import stat, verify
from unspool.client.writecalls import WriteCalls
from unspool.core.model import Bytes, Entry, FileInfo, ListRequest, NamedSpan, Page, Prefix
from unspool.core.names import check_name, check_prefix
from unspool.core.receiver import Receiver
from unspool.errors import InvalidRangeError, NotFoundError, UnspoolError
from unspool.options import TransferOptions

if TYPE_CHECKING:
    from unspool.client.results import Result
    from unspool.client.writer import Writer


class Client(TreeCalls, WriteCalls):
    """One server, or several with the same files, as an async context manager. Safe to use from many tasks at once.

    Most calls take `options` and `observers` for that call only; these observers are notified after the client's own.

    Args:
        target: `HOST[:PORT]`, `unspool://HOST[:PORT]`, `unspools://HOST[:PORT]` for TLS, or a gRPC target such as `unix:PATH`.
            Several servers with the same files are a list, `HOST[:PORT],HOST[:PORT]`, or the addresses of one host,
            `dns:///HOST[:PORT]`. A transfer that fails at one goes on at another.
            The client connects at the first call, so it can be created where no event loop runs.
        options: how transfers behave, unless a call passes its own.
        dialect: the protocol that the server speaks.
        metadata: keys and values sent with every call.
        observers: notified of the events of every transfer.
        limit_rate: the most bytes per second that all streams of all calls receive or send together. Several clients given the
            same `RateLimit` share it. None means no limit.
        tls, ca, cert, key: see `unspool.options.Security`. The files are read again when they change, and later calls use them.
        token, token_in_clear: see `unspool.options.Security`. A token goes to this server with every call.
        upload_key: a file with the key of this client's uploads, which is made if it does not exist. A call of `put` goes on
            with an upload that an earlier process began with the same key, and nobody without it can. Without a file only calls
            of this client can.
        transport, clock, random: replaced in tests. The client closes a transport that it is given.
    """

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
        transfer = self._transfer(options, observers)
        with transfer.observed("stat", name):
            return await stat(name, transfer, sha256=sha256)

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
        with transfer.observed("list", prefix):
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
            from unspool.client.download import download  # noqa: PLC0415 - loads in 10 ms, and many programs do without
            from unspool.local.destination import Destination  # noqa: PLC0415 - as above

            path = await file_path(destination, name)
            return await download(name, partial(Destination.at, path), self._open_seams(), options, observer)
        from unspool.client.writer import check_writer, write_to  # noqa: PLC0415 - as above

        check_writer(destination)
        transfer = Transfer(self._open_seams(), options, observer)
        with transfer.observed("get", name):
            return await write_to(destination, name, transfer)

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
        transfer = self._transfer(options, observers)
        receiver = _receiver(name, start, length, revision, transfer.id)
        with transfer.observed("open", name):
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
        if progress is not None:
            async with self.open(
                name, start=start, length=length, revision=revision, options=options, observers=observers, progress=progress
            ) as reading:
                return await reading.read()
        transfer = self._transfer(options, observers)
        receiver = _receiver(name, start, length, revision, transfer.id)
        parts: list[Bytes] = []
        with transfer.observed("open", name):
            await transfer.take_all(receiver, lambda block: parts.append(block.data))
        return b"".join(parts)

    @overload
    async def read_many(
        self,
        spans: Iterable[NamedSpan],
        *,
        revisions: Mapping[str, str] = ...,
        return_exceptions: Literal[False] = False,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> Sequence[bytes]: ...

    @overload
    async def read_many(
        self,
        spans: Iterable[NamedSpan],
        *,
        revisions: Mapping[str, str] = ...,
        return_exceptions: bool,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> Sequence[bytes | UnspoolError]: ...

    async def read_many(
        self,
        spans: Iterable[NamedSpan],
        *,
        revisions: Mapping[str, str] = MappingProxyType({}),
        return_exceptions: bool = False,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> Sequence[bytes | UnspoolError]:
        """Return the verified bytes of many spans of any files, in memory, in the order asked for.

            header, row = await client.read_many([("a.bin", 0, 1024), ("b.bin", 65536, 4096)])

        Short spans share streams, so each costs a tenth of a `read`. All spans of one file are of one revision.

        Args:
            spans: the name, the first byte and the number of bytes of each. A span is cut at the end of its file.
            revisions: the revisions to read, by name; files that it does not have are read as they are now.
            return_exceptions: put the error of a span into its place. Otherwise the first error is raised.

        Raises:
            StartPastEndError: a span begins past the end of its file.
            FileChangedError: a file does not have the revision, or changed meanwhile.
        """
        from unspool.client.manyspans import read_spans  # noqa: PLC0415 - only this call needs it

        seams, observer = self._open_seams(), self._observers(observers)
        return await read_spans(
            tuple(spans), seams, options or self.options, observer, revisions, keep_errors=return_exceptions
        )

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
        from unspool.local.copy import LocalCopy  # noqa: PLC0415 - as in `get`

        check_name(name)
        local = local_path(path)
        transfer = self._transfer(options, observers)
        with transfer.observed("verify", name):
            return await verify(name, LocalCopy(local, local), transfer, sha256=sha256)


def _receiver(name: str, start: int, length: int | None, revision: str | None, transfer_id: str) -> Receiver:
    """Return what verifies a span. Raises an error for what is no name or no span."""
    check_name(name)
    if start < 0 or (length is not None and length < 0):
        raise InvalidRangeError(f"{name}: start {start} and length {length} must not be negative", name=name)
    stop = None if length is None else start + length
    # The checksum of the whole is of no use to one who has only a part: the server would read all before `start` for it.
    return Receiver(name, start, stop, revision=revision, transfer_id=transfer_id, checksum=start == 0)
