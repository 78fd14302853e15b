"""Goes on with an upload into an object store, from what is kept of it.

Rule 1: a part is used if it is recorded and the store still has it as it was sent. The beginning of an incomplete part is read,
        and used as far as it has the CRC32C that its name says.
Rule 2: whoever opens an upload that is recorded replaces the record, so that any other server that has it open finds out.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from unspool.core.checksum import combine, crc32c
from unspool.core.model import Span
from unspool.core.segments import Segment, SegmentTable
from unspool.core.uploading import UploadOpen
from unspool.core.uploadparts import full_length, part_size_for
from unspool.core.uploadrecord import UploadRecord
from unspool.ingest.multipart import GoneError
from unspool.ingest.objectparts import BucketHome, SentParts, lost_parts
from unspool.ingest.objectplace import KeptUpload, Place, Tail
from unspool.ingest.refusals import refusing
from unspool.ingest.spool import Spool

_NONCE = 8
"""Random bytes that tell openings, and objects of one upload, apart."""


def known(kept: KeptUpload) -> SegmentTable | None:
    """Return what is kept of an upload, as far as it can be told without reading; None if it is nothing."""
    record = kept.record
    if record is None or not (record.parts or kept.tails):
        return None
    chains = _chains(kept.tails, record)
    begun = {number: Segment(tails[-1].span.stop - tails[0].span.start, _joined(tails)) for number, tails in chains.items()}
    return SegmentTable(record.part_size, record.segments() | begun)


def _joined(tails: Sequence[Tail]) -> int:
    """Return the CRC32C of the bytes of tails that follow one another."""
    found = 0
    for tail in tails:
        found = combine(found, tail.crc32c, tail.span.length)
    return found


def _chains(tails: Sequence[Tail], record: UploadRecord) -> dict[int, list[Tail]]:
    """Return, for each incomplete part, the tails that follow one another from its start on.

    A server that was taken over may have kept others of the same bytes: the tails that reach furthest are taken.
    """
    reached: dict[int, dict[int, list[Tail]]] = {}
    for tail in sorted(tails, key=lambda tail: tail.span.start):
        number = tail.span.start // record.part_size
        if number in record.parts:
            continue
        ways = reached.setdefault(number, {number * record.part_size: []})
        if tail.span.start in ways:
            ways.setdefault(tail.span.stop, [*ways[tail.span.start], tail])
    return {number: ways[max(ways)] for number, ways in reached.items() if len(ways) > 1}


async def resume(opens: UploadOpen, home: BucketHome, place: Place, kept: KeptUpload) -> tuple[SentParts, dict[int, Spool]]:
    """Return the parts of an upload that the store has, and the beginnings of incomplete parts.

    Args:
        opens: what the client says of it now.
        home: what the ingester's uploads share.
        place: where it is kept.
        kept: what is kept of it.
    """
    record = kept.record
    if record is None:
        mark = f"{place.key}.{secrets.token_hex(_NONCE)}"
        record = UploadRecord(opens.name, opens.size, part_size_for(opens.size), mark)
    record = await _checked(opens, home, replace(record, holder=secrets.token_hex(_NONCE), size=opens.size))
    chains = {number: tails for number, tails in _chains(kept.tails, record).items() if _wanted(tails, opens, record, number)}
    used = {tail.key for tails in chains.values() for tail in tails}
    await place.remove(tail.key for tail in kept.tails if tail.key not in used)
    sent = SentParts(opens, home, place, record, kept.tag)
    spools: dict[int, Spool] = {}
    try:
        for number, tails in chains.items():
            with refusing(opens.name):
                spools[number] = await home.disk.run(Spool)
            await _fill(spools[number], opens.name, tails, home, place)
        if kept.tag is not None:
            await sent.note()
    except BaseException:
        for spool in spools.values():
            spool.close()
        raise
    return sent, spools


async def _checked(opens: UploadOpen, home: BucketHome, record: UploadRecord) -> UploadRecord:
    """Return the record without the parts that the store does not have, or that are not wanted."""
    upload, multipart = record.multipart, home.multipart
    lost: set[int] = set()
    if upload:
        try:
            lost = lost_parts(record, await home.senders.run(lambda: multipart.parts(opens.name, upload)))
        except GoneError:
            lost, upload = set(record.parts), ""
    parts = {
        number: part
        for number, part in record.parts.items()
        if number not in lost
        and part.length == full_length(number, record.part_size, opens.size)
        and not _is_discarded(number * record.part_size, part.length, opens.discard)
    }
    return replace(record, multipart=upload, parts=parts)


def _wanted(tails: Sequence[Tail], opens: UploadOpen, record: UploadRecord, number: int) -> bool:
    start, length = tails[0].span.start, tails[-1].span.stop - tails[0].span.start
    return length <= full_length(number, record.part_size, opens.size) and not _is_discarded(start, length, opens.discard)


def _is_discarded(start: int, length: int, discard: Sequence[Span]) -> bool:
    return any(span.length and span.start < start + length and start < span.stop for span in discard)


async def _fill(spool: Spool, name: str, tails: Sequence[Tail], home: BucketHome, place: Place) -> None:
    """Read the beginning of an incomplete part."""
    for tail in tails:
        data = await place.read(tail.key)
        if len(data) != tail.span.length or crc32c(data) != tail.crc32c:
            break
        with refusing(name):
            await home.disk.run(partial(spool.write, data, tail.crc32c))
    spool.kept = spool.length
