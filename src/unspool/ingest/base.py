"""The contract of an ingester, which receives files for the server. The docstrings are it; `unspool.testing` checks it.

An ingester knows nothing of gRPC, streams or clients. It raises only errors of `unspool.errors`. It checks names itself, with
`unspool.core.names`, so that no caller can forget to. What blocks and commits are acceptable is decided in
`unspool.core.acceptor`: its callers use that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeAlias

from unspool.core.model import Block, FileInfo, Span
from unspool.core.segments import SegmentTable
from unspool.core.uploading import NewFile, UploadIdentity, UploadOpen, WrittenFile

Known: TypeAlias = SegmentTable | FileInfo | None
"""What an ingester knows of an upload: the bytes that it has; the file, if it was committed; None if it does not know it."""


class Upload(Protocol):
    """One upload that is open. Close it with `aclose`, also after an error.

    Its methods are called one at a time, but `sync` may run at the same time as `write`.

    Every method but `aclose` raises TakenOverError once another opening has taken the upload over, and NoSpaceError if there is
    no space. Whatever it raises, what was received is kept.
    """

    @property
    def table(self) -> SegmentTable:
        """A copy of what there was of the upload when it was opened: bytes that were read again, or never left memory."""
        ...

    @property
    def taken_over(self) -> asyncio.Event:
        """Set when another opening has taken the upload over."""
        ...

    def write(self, block: Block) -> Awaitable[None]:
        """Begin to write a block, which was verified, at its offset. The caller awaits the end before it writes another.

        What was there before at that place is forgotten.
        """
        ...

    async def checksum(self, span: Span) -> int:
        """Return the CRC32C of bytes that were written, as they can be read.

        Raises:
            SequenceError: they cannot be read before the commit, because an object store has them.
        """
        ...

    async def sync(self) -> int:
        """Make durable what was written before the call. Return how many bytes of the upload would survive a power cut.

        Less than a segment of what was written may be left out, if a segment became durable since the call before.
        That number never falls, in any opening of the upload, unless spans of it are discarded.
        """
        ...

    async def commit(self, size: int) -> FileInfo:
        """Give the file its name, durably, and return its description with its CRC32C. The caller has verified the whole.

        The condition is checked again, at the same moment: of several files that must be the first of their name, one gets it.
        Directories on the way are made. The upload is closed then, and remembered for a while.

        Raises:
            AlreadyExistsError, FileChangedError: the condition does not hold. What was received is kept.
            NotAFileError: something other than a file has the name, or a file has the name of a directory on the way.
            PermissionDeniedError: the server may not write there, or the name leads through a link.
        """
        ...

    async def aclose(self) -> None:
        """Keep what was received, and let go of it. Closing twice is fine."""
        ...


class Ingester(Protocol):
    """Receives files, each under an upload's key until it is committed, and removes them."""

    @property
    def largest_file(self) -> int | None:
        """Most bytes of a file; None for no limit of its own."""
        ...

    @property
    def expires_after(self) -> float | None:
        """Seconds without a byte after which an upload that is not open is removed; None for never."""
        ...

    async def open(self, opens: UploadOpen, owner: str) -> Upload | FileInfo:
        """Begin an upload, or go on with one. If it is open already, even in another process, it is taken over.

        Args:
            opens: names the upload, and says what the client knows of the file. Its `discard` is forgotten, durably.
            owner: the principal, "" if callers are not identified. The same id and name of another owner is another upload.

        Returns:
            the upload; or the file, if it was committed already, or if the name has these bytes already (the size and checksums
            in `opens` agree) and the condition holds.

        Raises:
            InvalidNameError: the name is invalid, reserved, or not served.
            AlreadyExistsError, FileChangedError: the condition does not hold. What there is of the upload is kept.
            TooLargeError: the file is larger than what is taken.
            NoSpaceError: there is no space for it, or the owner has too much that is unfinished.
            NotAFileError, PermissionDeniedError: as for `Upload.commit`.
        """
        ...

    async def stat(self, identity: UploadIdentity) -> Known:
        """Return what is known of an upload. It is neither changed nor taken over, and bytes may not have been read again."""
        ...

    async def abandon(self, identity: UploadIdentity) -> None:
        """Remove what there is of an upload that is not committed. If it is open, it is taken over first."""
        ...

    async def write_small(self, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
        """Write whole small files, durably when it returns. Return the answer for each, in their order: an error is not raised.

        What is checked and raised is that of `open` and `commit`; BlockCorruptError if a file does not match its checksum. A
        file whose name has these bytes already is not written.
        """
        ...

    async def delete(self, name: str, revision: str | None = None) -> FileInfo:
        """Remove a file, durably when it returns. Return its description as it was.

        Unfinished uploads of the name stay. So do the directories that were made for it. Whoever reads the file reads on, or
        fails with FileChangedError; a later `open` of the store raises NotFoundError.

        Args:
            name: name of the file.
            revision: the file is removed only if it is at this revision, which is checked at the same moment. None removes
                whatever file is there.

        Raises:
            InvalidNameError: the name is invalid, reserved, or not served.
            NotFoundError: there is no such file, whatever the revision.
            FileChangedError: the file is at another revision.
            NotAFileError: something other than a file has the name.
            PermissionDeniedError: the server may not write there, or the name leads through a link.
        """
        ...

    async def storage(self) -> str:
        """Return the id of the storage that files are received into: opaque, not empty, and not a secret.

        Ingesters with the same id receive into one place: what one of them has of an upload, the others go on with.
        """
        ...

    async def sweep(self) -> int:
        """Remove uploads that expired; return how many. What is open stays. Forget what was committed long ago."""
        ...

    async def aclose(self) -> None:
        """Release threads and files. Closing twice is fine. Close the uploads first."""
        ...
