"""The results of a download and of an upload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unspool.core.whole import Verified


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a download.

    Attributes:
        name: the file on the server.
        path: the local file; None if it went to a writer.
        size: bytes of the whole file.
        revision: the revision of the file; None if the dialect has no revisions.
        verified: how much was verified, see `Verified`.
        crc32c: of the whole local file.
        bytes_received: verified bytes that this call received.
        resumed_from: bytes of an earlier run that were used.
        attempts: streams and calls begun.
        restarts: how often the download began again from zero.
        seconds: duration.
        already_here: whether the destination already had the server's bytes, so that nothing was fetched.
        servers: the bytes of `bytes_received` that each server sent.
        without: replicas that were asked and did not have this revision.
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
    servers: Mapping[str, int] = field(default_factory=dict, hash=False)
    without: tuple[str, ...] = ()


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
        attempts: streams and calls begun.
        restarts: how often bytes that the server had were discarded, because they are not those of the file.
        seconds: duration.
        already_there: whether the server had the file already, so that nothing was sent.
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
