"""The results of fetching and comparing a tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unspool.core.model import FileInfo, Omission
from unspool.core.value import value
from unspool.core.whole import Verified
from unspool.local.outcome import Failure

__all__ = ["Failure", "TreePreviewPage", "TreeResult", "TreeVerification"]


@dataclass(frozen=True, slots=True)
class TreeResult:
    """The result of fetching a tree. Each listed file is counted once: fetched, kept, failed or left out.

    Attributes:
        prefix: on the server.
        path: the local directory.
        files: number of files listed below the prefix.
        size: of these files, in bytes.
        fetched: files that this call fetched and verified.
        kept: files that were already here, according to the record or a checksum.
        failed: files that are missing here or differ from the server's.
        directories: the server's empty directories that exist here.
        left_out: files that are the record of another tree (`.unspool-tree`).
        omitted: names that the server omits: the first thousand by name, the others counted by reason.
        failures: the first thousand failures.
        verified: how much was verified of every fetched file, see `Verified`.
        bytes_received: verified bytes that this call received.
        seconds: duration.
        servers: the bytes of `bytes_received` that each server sent.
        without: replicas that did not have a file at the revision that another one listed.
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
    servers: Mapping[str, int] = field(default_factory=dict, hash=False)
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TreeVerification:
    """The result of comparing a directory with a tree. Each listed file is counted once: same, failed or left out.

    Attributes:
        prefix: on the server.
        path: the local directory.
        files: number of files listed below the prefix.
        size: of these files, in bytes.
        same: files whose local bytes are the server's.
        failed: files that are missing here, differ from the server's, or could not be compared.
        left_out: files that are the record of another tree (`.unspool-tree`).
        omitted: names that the server omits, as in `TreeResult`.
        failures: the first thousand failures.
        seconds: duration.
    """

    prefix: str
    path: str
    files: int
    size: int
    same: int
    failed: int
    left_out: int
    omitted: tuple[Omission, ...]
    failures: tuple[Failure, ...]
    seconds: float


@value
class TreePreviewPage:
    """What `get_tree` or `put_tree` would do with some files.

    Attributes:
        wanted: files that would be fetched or sent. An unfinished file of an earlier run counts with its whole size.
        kept: number of files that are already here, or at the server.
        failures: files that could not be written to the destination in its present state, or read here.
        omitted: names that the server omits, or would be left out of the upload, as in a listing.
    """

    wanted: tuple[FileInfo, ...]
    kept: int
    failures: tuple[Failure, ...]
    omitted: tuple[Omission, ...] = ()
