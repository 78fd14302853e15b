"""The results of the calls that change what a server has. A module of their own, because most clients only read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unspool.core.model import Omission
from unspool.core.whole import Verified
from unspool.local.outcome import Failure


@dataclass(frozen=True, slots=True)
class PutResult:
    """The result of an upload.

    Attributes:
        name: the file on the server.
        path: the local file; None if the bytes came from a reader.
        size: bytes of the whole file.
        revision: the revision that the file has on the server now.
        verified: `file` if the server has confirmed the checksum of the whole file, see `Verified`.
        crc32c: of the whole file.
        bytes_sent: bytes that this call sent; bytes sent twice count twice.
        resumed_from: bytes that the server had of an earlier call and that were used.
        attempts: how often it was tried to send the file, or to find that it is there already.
        restarts: how often bytes that the server had were discarded, because they are not those of the file.
        seconds: duration.
        already_there: whether the server had the file already, so that nothing was sent.
        servers: the bytes of `bytes_sent` that each server was sent.
    """

    name: str
    path: str | None
    size: int
    revision: str
    verified: Verified
    crc32c: int
    bytes_sent: int
    resumed_from: int
    attempts: int
    restarts: int
    seconds: float
    already_there: bool = False
    servers: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class PutTreeResult:
    """The result of uploading a tree. Each local file is counted once: sent, kept or failed.

    Attributes:
        prefix: on the server.
        path: the local directory.
        files: number of files found below the directory.
        size: of these files, in bytes.
        sent: files that the server has from this call.
        kept: files that the server had already: by size and modification time, or by checksum.
        failed: files that the server does not have as they are here, and directories that cannot be read.
        omitted: names that were left out: the first thousand by name, the others counted by reason, as in a listing.
        failures: the first thousand failures.
        bytes_sent: bytes that this call sent; bytes sent twice count twice.
        seconds: duration.
        servers: the bytes of `bytes_sent` that each server was sent.
    """

    prefix: str
    path: str
    files: int
    size: int
    sent: int
    kept: int
    failed: int
    omitted: tuple[Omission, ...]
    failures: tuple[Failure, ...]
    bytes_sent: int
    seconds: float
    servers: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class DeleteTreeResult:
    """The result of deleting a tree. Each listed file is counted once: deleted or failed.

    Attributes:
        prefix: on the server.
        files: number of files listed below the prefix.
        size: of these files, in bytes.
        deleted: files that are gone, also those that somebody else has deleted since they were listed.
        failed: files that are still there.
        omitted: names that the server omits, and which stay, as in `TreeResult`.
        failures: the first thousand failures.
        seconds: duration.
    """

    prefix: str
    files: int
    size: int
    deleted: int
    failed: int
    omitted: tuple[Omission, ...]
    failures: tuple[Failure, ...]
    seconds: float
