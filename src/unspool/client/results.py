"""The result of a download."""

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
