"""The contract of a store, which gives the server its bytes. The docstrings are the contract; `unspool.testing` checks it.

A store knows nothing of gRPC, streams or clients. It raises only errors of `unspool.errors`. The store itself checks names
with `unspool.core.names`, so that no caller can forget to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from unspool.core.model import Bytes, FileInfo, ListRequest, NamedSpan, Page, Span
from unspool.errors import UnspoolError

SmallFile: TypeAlias = tuple[FileInfo, Bytes, bool] | UnspoolError
"""The answer for one of many files: its information, all its bytes (or those of a span) and whether it is steady
(`OpenFile.steady`; False also if that is not known); or the error that opening or reading it raised."""


RunSize: TypeAlias = Callable[[int], int]
"""Called with an offset in the file; returns the length of the run to read there, at least 1. The length may differ from run to
run: longer runs for a fast client, shorter ones to save memory for a slow client (docs/decisions/0017)."""


class OpenFile(Protocol):
    """One file at one revision, open for reading. Close it with `aclose`, also after an error."""

    @property
    def info(self) -> FileInfo:
        """The file's information at the time it was opened. Size, revision and bytes belong together."""
        ...

    def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[Bytes, None]:
        """Yield exactly the bytes of `span`, in order, in runs of the length asked for or shorter, never empty.

        The whole span is requested once, however the client's speed changes; on an object store that is one request. A run may
        be a view of a buffer that the next run overwrites, so a caller that keeps a run must copy it. The store reads ahead by
        at most one run. It may yield runs that are in memory without returning to the event loop. Reading stops when the
        iterator is closed or its consumer is cancelled. Several reads of one file may run at once, each with its own iterator.

        Args:
            span: within 0..info.size; an empty span yields nothing.
            run_size: see `RunSize`; called when reading of a run begins.

        Raises:
            FileChangedError: the file is no longer at `info.revision`. Bytes already yielded were of that revision: while the
                file is `steady`, two reads never give different bytes under one revision.
            DataLossError: the store returned fewer bytes than it said it holds.
        """
        ...

    async def steady(self) -> bool:
        """Return whether reads notice every change of the file, as far as the store can know.

        If not, the file may be changed without a trace. Its bytes are served, but their checksum is not cached. A store whose
        objects are replaced and never changed returns True.
        """
        ...

    async def aclose(self) -> None:
        """Release the file. Closing twice is fine."""
        ...


@runtime_checkable
class AtOnce(Protocol):
    """What a store may have besides: reads that need no waiting."""

    def read_at_once(self, name: str, start: int, length: int | None, most_bytes: int) -> tuple[FileInfo, Bytes] | None:
        """Return a span of a steady file, cut at its end, if its bytes are in memory and at most `most_bytes`; else None.

        It blocks for no disk. A `length` of None is to the end. What is wrong with the file or the span is left to `open`.
        """
        ...


class Store(Protocol):
    """A set of files by name."""

    async def stat(self, name: str) -> FileInfo:
        """Return the file's current information. Raises the same errors as `open`."""
        ...

    async def open(self, name: str, revision: str | None = None) -> OpenFile:
        """Open a file at its current revision.

        Args:
            name: the file's name.
            revision: the revision that the file must have; None accepts any.

        Raises:
            FileChangedError: the file is at another revision.
            InvalidNameError: the name is invalid.
            PermissionDeniedError: the file may not be read, or (OutsideRootError) the name leads out of the store.
            NotFoundError: there is no such file, or (NotAFileError) it is not a regular one.
        """
        ...

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """Read whole small files: what `open` and `read` would return or raise, at less cost for each file.

        The answers are for `names[0]`, `names[1]` and so on, as many as fit into `most_bytes` together. The store may stop
        earlier so that the caller does not wait long. It may look up many files at the same time. The first name always has an
        answer, unless that file is larger than `most_bytes`: then the result is empty, and the caller is to use `open`. An
        error of a file is its answer and is not raised.

        Args:
            names: at least one; a name may be repeated.
            most_bytes: the limit for all files together, at least 1.
            known: for each name a revision whose bytes the client has, or None; empty if there are none. A file at that
                revision is answered without bytes, whatever its size, and is not read.
        """
        ...

    async def read_spans(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """Read spans of files: what `open` and `read` would return or raise, at less cost for each span.

        Like `read_small`, but each answer has the bytes of a span only: cut at the end of the file, and none if it begins
        there or beyond. The answers are for the first spans, as many as fit into `most_bytes` together. The first one always
        has an answer, unless it is longer than `most_bytes`: then the result is empty, and the caller is to use `open`.

        Args:
            wanted: at least one; a file may be named more than once. No number is negative.
            most_bytes: the limit for all spans together, at least 1.
        """
        ...

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Yield the files below `request.prefix` in pages of at most `request.page_size` entries, as they are found.

        The first page is yielded before the store looks for the second. Pages need not be sorted. The whole listing is never
        held in memory. Only names that `open` accepts are listed, though a file may be gone or unreadable by the time it is
        opened. If the prefix is the name of a file, that file is listed. A recursive listing yields directories in which it
        lists nothing as prefixes, if the store has such directories, except the directory of the request. Entries that exist
        but are not listed are reported in `Page.omitted`, whether or not the listing is recursive. The last page may contain
        nothing else. What is below a prefix that `request.hides` need not be looked at, nor listed.

        Args:
            request: its `page_size` must be set, at least 1.

        Raises:
            InvalidNameError: the prefix is invalid.
            NotFoundError: nothing exists at that prefix. An empty store lists nothing for the prefix "".
            PermissionDeniedError: the directory may not be listed, or leads out of the store.
        """
        ...

    async def aclose(self) -> None:
        """Release the store's threads and connections. Closing twice is fine. Close its files first."""
        ...
