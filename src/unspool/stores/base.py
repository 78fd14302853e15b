"""What a store is: where the server's bytes come from. The docstrings are the contract; `unspool.testing` runs it.

A store knows nothing of gRPC, streams or clients. It raises only errors of `unspool.errors`. Names are checked with
`unspool.core.names` by the store itself, so that no caller can forget to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, TypeAlias

from unspool.core.model import Bytes, FileInfo, ListRequest, Page, Span
from unspool.errors import UnspoolError

SmallFile: TypeAlias = tuple[FileInfo, bytes, bool] | UnspoolError
"""What there is to say of one of many files: what it is, all its bytes, and whether it is steady (`OpenFile.steady`); or the
error that is in the way."""


RunSize: TypeAlias = Callable[[int], int]
"""How many bytes, at least 1, are to come next from an offset in the file on. It may say more or less every time: what a reader
that is waiting can take at once, and what one that is not should not hold (docs/decisions/0017)."""


class OpenFile(Protocol):
    """One file at one revision, open for reading. Close it with `aclose`, also after an error."""

    @property
    def info(self) -> FileInfo:
        """What the file was when it was opened; size, revision and bytes come from one look at it."""
        ...

    def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[Bytes, None]:
        """Yield exactly the bytes of `span`, in order, in runs that are as long as asked for, or shorter, and never empty.

        The whole span is asked for once, however the reader's speed changes: that is one request to an object store. A run may
        be a view of memory that the next one is read into: who wants to keep it, copies it. Reads ahead by no more than one
        run. What is in memory may be yielded without giving the event loop a turn. Reading stops when the iterator is closed or
        its consumer is cancelled. Several reads of one file may be under way at once, each with its own iterator.

        Args:
            span: within 0..info.size; an empty span yields nothing.
            run_size: see `RunSize`; asked for each run when it begins to be read.

        Raises:
            FileChangedError: the file is not at `info.revision` any more. Bytes already yielded were of that revision: two
                reads never give different bytes under one revision, while the file is `steady`.
            DataLossError: the store returned fewer bytes than it said it holds.
        """
        ...

    async def steady(self) -> bool:
        """Return whether no change of the file goes unnoticed by its reads, as far as the store can know.

        If not, it may be written to in a way that leaves no trace: its bytes are given, but their checksum is not remembered. A
        store whose objects are replaced and never changed says True.
        """
        ...

    async def aclose(self) -> None:
        """Let go of the file. Closing twice is fine."""
        ...


class Store(Protocol):
    """A set of files by name."""

    async def stat(self, name: str) -> FileInfo:
        """Return what the file is now. Raises as `open`."""
        ...

    async def open(self, name: str, revision: str | None = None) -> OpenFile:
        """Open a file, as it is now or not at all.

        Args:
            name: the file.
            revision: these bytes or fail; None takes whatever the file is.

        Raises:
            FileChangedError: it is at another revision.
            InvalidNameError: the name is not one.
            PermissionDeniedError: it may not be read, or (OutsideRootError) leads out of the store.
            NotFoundError: there is no such file, or (NotAFileError) it is not a regular one.
        """
        ...

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """Return the first of some files, whole: what `open` and `read` would give or raise, at little cost for each.

        The answers are those of `names[0]`, `names[1]` and so on, as far as the files fit into `most_bytes` together, and no
        further than keeps the caller waiting for a moment only; a store may look for many of them at the same time. There is
        an answer for the first, unless that file is larger than `most_bytes`: then there are none, and it is to be opened.
        What is wrong with a file is its answer, and is not raised.

        Args:
            names: at least one; a name may come more than once.
            most_bytes: of all files together; at least 1.
            known: for each name a revision whose bytes the caller has, or None; empty if there are none. A file at that
                revision is answered with no bytes, whatever its size, and is not read.
        """
        ...

    def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """Yield the files below `request.prefix` in pages of at most `request.page_size` entries, as they are found.

        The first page is yielded before the second is looked for. Pages need not be sorted. Only names that `open` would
        accept are listed, though a file may be gone, or refused, by the time it is opened. The whole listing is never held in
        memory. A prefix that names a file lists that file. A recursive listing has the directories in which it lists nothing as
        prefixes, if the store has such directories; the one asked for is not among them. What is there and not listed is told
        in `Page.omitted`, of one level and of all below in the same way. The last page may have nothing but that.

        Args:
            request: its `page_size` must be set, at least 1.

        Raises:
            InvalidNameError: the prefix is not one.
            NotFoundError: there is nothing by that prefix; an empty store lists nothing for the prefix "".
            PermissionDeniedError: it may not be listed, or leads out of the store.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what the store holds (threads, connections). Closing twice is fine. Close its files first."""
        ...
