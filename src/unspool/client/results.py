"""What comes of a download, and of a tree of them."""

from __future__ import annotations

from dataclasses import dataclass

from unspool.core.model import FileInfo, Omission
from unspool.core.value import value
from unspool.core.whole import Verified
from unspool.local.outcome import Failure

__all__ = ["Failure", "Result", "TreeResult"]


@dataclass(frozen=True, slots=True)
class Result:
    """What a download came to.

    Attributes:
        name: the file on the server.
        path: the local file; None if it went to a writer.
        size: bytes of the whole file.
        revision: what the bytes are; None if the dialect has no revisions.
        verified: how far, see `Verified`.
        crc32c: of the whole file as it is here.
        bytes_received: verified bytes that came over the wire now.
        resumed_from: bytes that were here already and were used.
        attempts: streams opened.
        restarts: how often it began again from zero.
        seconds: how long it took.
        already_here: whether the destination had the server's bytes before: nothing was fetched or written.
    """

    name: str
    path: str | None
    size: int
    revision: str | None
    verified: Verified
    crc32c: int
    bytes_received: int
    resumed_from: int
    attempts: int
    restarts: int
    seconds: float
    already_here: bool = False


@dataclass(frozen=True, slots=True)
class TreeResult:
    """What fetching a tree came to. Each file listed is counted once: fetched, kept, failed or left out.

    Attributes:
        prefix: on the server.
        path: the local directory.
        files: listed below the prefix.
        size: of all of them, bytes.
        fetched: files that were fetched and verified now.
        kept: files that were here already: known from the record, or compared by checksum.
        failed: files that are not here, or not as they are on the server.
        directories: empty directories of the server's that are here.
        left_out: files that are another tree's record (`.unspool-tree`).
        omitted: what the server says that it leaves out: the first thousand by name, the others as numbers by reason.
        failures: of the failed ones, the first thousand.
        verified: how far those fetched were, see `Result`; the least that holds for all.
        bytes_received: verified bytes that came over the wire.
        seconds: how long it took.
    """

    prefix: str
    path: str
    files: int
    size: int
    fetched: int
    kept: int
    failed: int
    directories: int
    left_out: int
    omitted: tuple[Omission, ...]
    failures: tuple[Failure, ...]
    verified: Verified
    bytes_received: int
    seconds: float


@value
class TreePreviewPage:
    """What would become of the files of one page of a listing.

    Attributes:
        wanted: files that would be fetched. Of a file that an earlier run left unfinished a part may be here already.
        kept: how many are here already.
        failures: files that could not be put into the destination as it is now.
    """

    wanted: tuple[FileInfo, ...]
    kept: int
    failures: tuple[Failure, ...]
