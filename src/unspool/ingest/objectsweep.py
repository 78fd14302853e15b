"""Removes uploads into an object store that nobody goes on with, and what is remembered of committed ones.

Rule 1: only what a record names is removed. Uploads of parts that other programs began in the same bucket are theirs.
Rule 2: age is counted from the last thing that was written of an upload, by the store's clock. What is open here stays.
"""

from __future__ import annotations

from collections.abc import Collection

from unspool.core.reserved import UPLOADS
from unspool.core.uploadrecord import decode
from unspool.ingest.objectparts import BucketHome
from unspool.ingest.objectplace import PROBES, prefix_of
from unspool.options import IngestOptions

_PROBE = 3600.0
"""Seconds after which an object that a server tried the store with is of a process that died."""


async def sweep(home: BucketHome, options: IngestOptions, now: float, live: Collection[str]) -> int:
    """Remove what expired before `now`, in seconds since 1970; return how many unfinished uploads that were.

    Args:
        home: what the ingester's uploads share.
        options: how long what is kept.
        now: the time.
        live: the keys of the uploads that are open.
    """
    bucket = home.bucket
    used = {prefix_of(key) for key in live}
    last: dict[str, float] = {}
    keys: dict[str, list[str]] = {}
    for kept in await bucket.keys(f"{UPLOADS}/open"):
        place = kept.key.rpartition("/")[0]
        last[place] = max(last.get(place, 0.0), kept.written)
        keys.setdefault(place, []).append(kept.key)
    expired = [place for place, written in last.items() if written < now - options.keep and place not in used]
    for place in expired:
        await _abort(home, f"{place}/record")
        await bucket.remove(keys[place])
    for below, begin, age in (("done", "", options.remember), ("storage", PROBES, _PROBE)):
        old = [kept.key for kept in await bucket.keys(f"{UPLOADS}/{below}") if kept.written < now - age]
        await bucket.remove(key for key in old if key.startswith(begin))
    return len(expired)


async def _abort(home: BucketHome, key: str) -> None:
    """Remove the parts that a record names."""
    got = await home.bucket.get(key)
    record = None if got is None else decode(got[0])
    if record is not None and record.multipart:
        name, upload = record.name, record.multipart
        await home.senders.run(lambda: home.multipart.abort(name, upload))
