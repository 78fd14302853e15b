"""Checks whether a server, of any implementation, follows PROTOCOL.md: point by point, with a report.

It reads the messages with the generated code, not with unspool's own client, so that it also finds what the client would
tolerate. It needs a file of at least two bytes. If it is given a prefix to write below, it checks writing as well.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, Unpack

import grpc
from google.protobuf.message import DecodeError

from unspool.errors import UnspoolError
from unspool.options import Security
from unspool.testing.probe import PointFailedError, PointSkippedError, Probe, channel_to, sample
from unspool.testing.readingpoints import POINTS
from unspool.testing.writingpoints import WRITING_POINTS
from unspool.testing.writingprobe import WritingProbe

Outcome: TypeAlias = Literal["pass", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one point.

    Attributes:
        point, promise: its short name, and what PROTOCOL.md promises.
        outcome: `skip` means that the point cannot be checked with the files of the server.
        detail: what was seen instead, or why the point was skipped.
    """

    point: str
    promise: str
    outcome: Outcome
    detail: str = ""


async def check(
    target: str,
    name: str | None = None,
    points: Iterable[str] | None = None,
    *,
    write: str | None = None,
    **security: Unpack[Security],
) -> AsyncGenerator[Finding, None]:
    """Check a server point by point, and yield a finding for each.

    Args:
        target: as for `Client`, with the same keywords for TLS and tokens.
        name: the file to read, of at least two bytes; None picks one of at most 64 MiB from the listing.
        points: the points to check, of POINTS and WRITING_POINTS; None checks all.
        write: a prefix below which files may be written and deleted, "" for anywhere: the points of writing are checked, too.
            They use a directory of their own, and clean up. None checks reading only.

    Raises:
        VerificationError: the server has no such file, so nothing can be checked.
    """
    wanted = None if points is None else list(points)
    async with channel_to(target, security) as channel:
        reading = list(POINTS) if wanted is None else [point for point in wanted if point in POINTS]
        if reading:
            probe = Probe(channel, await sample(channel, name))
            for point in reading:
                promise, look = POINTS[point]
                yield await _finding(point, promise, look(probe))
        if write is not None:
            writing = WritingProbe(channel, write)
            for point in list(WRITING_POINTS) if wanted is None else [point for point in wanted if point in WRITING_POINTS]:
                writing.begin(point)
                promise, try_it = WRITING_POINTS[point]
                yield await _finding(point, promise, try_it(writing))
            left = await writing.clean()
            if left:
                yield Finding("write-clean", "the files of the check are removed", "skip", f"still there: {', '.join(left)}")


async def _finding(point: str, promise: str, look: Awaitable[None]) -> Finding:
    try:
        await look
    except PointFailedError as error:
        return Finding(point, promise, "fail", str(error))
    except PointSkippedError as error:
        return Finding(point, promise, "skip", str(error))
    except (grpc.aio.AioRpcError, TimeoutError, DecodeError, UnspoolError) as error:
        return Finding(point, promise, "fail", f"{type(error).__name__}: {error}")
    return Finding(point, promise, "pass")
