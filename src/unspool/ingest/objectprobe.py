"""Tries whether an object store does what uploads need, with a few small objects of its own.

Rule 1: what is tried is what is used: whole objects, and objects made of parts. A store may enforce conditions for the ones and
        not for the others.
Rule 2: servers that start at the same time do not disturb each other. versitygw keeps objects in directories and removes one
        that becomes empty, so a probe does not lie in a directory with probes only.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from unspool.core.checksum import crc32c
from unspool.core.uploadrecord import SentPart
from unspool.errors import ServerError, UnspoolError, UnsupportedError
from unspool.ingest.bucket import ABSENT, KEPT
from unspool.ingest.multipart import GoneError, LostPartError, UnmetError
from unspool.ingest.objectparts import BucketHome
from unspool.ingest.objectplace import PROBES, storage_id
from unspool.ingest.spool import Spool

_OTHER = '"00000000000000000000000000000000"'
"""An entity tag that no object has."""

_DATA = b"unspool"


async def probe(home: BucketHome, where: str) -> None:
    """Try an object store.

    Args:
        home: what the ingester's uploads share.
        where: names the store in messages.

    Raises:
        UnsupportedError: it does not enforce the conditions of new objects.
        PermissionDeniedError: the server's account may not write there.
        ServerError: there is no such bucket, it cannot be reached, or it does not take objects in parts.
    """
    key = f"{PROBES}-{secrets.token_hex(8)}"
    try:
        await _probe(home, key)
        await storage_id(home.bucket)  # which stays
        await home.bucket.remove([key])
    except UnspoolError as error:
        with suppress(UnspoolError):  # what went wrong first is what matters
            await home.bucket.remove([key])
        said = error.message.removeprefix(f"{key}: ").removeprefix(f"{KEPT}: ")
        raise type(error)(f"{where}: {said}") from None


async def _probe(home: BucketHome, key: str) -> None:
    bucket = home.bucket
    try:
        tag = await bucket.put(key, _DATA, {}, ABSENT)
        async with _refused("If-None-Match", "PutObject"):
            await bucket.put(key, _DATA, {}, ABSENT)
        async with _refused("If-Match", "PutObject"):
            await bucket.put(key, _DATA, {}, _OTHER)
        await bucket.put(key, _DATA, {}, tag)
        await _probe_parts(home, key)
    except UnmetError:
        raise UnsupportedError("the object store refuses a condition that holds: it cannot be written to safely") from None
    except (GoneError, LostPartError):
        raise ServerError("the object store does not keep the parts of an upload: it cannot be written to") from None


async def _probe_parts(home: BucketHome, key: str) -> None:
    multipart, run = home.multipart, home.senders.run
    spool = await home.disk.run(Spool)
    upload = await run(lambda: multipart.begin(key, {}, ""))
    try:
        await home.disk.run(lambda: spool.write(_DATA, crc32c(_DATA)))
        tag = await run(lambda: multipart.send(key, upload, 0, spool.body(), spool.crc32c))
        part = SentPart(spool.length, spool.crc32c, tag)
        if list(await run(lambda: multipart.parts(key, upload))) != [0]:
            raise LostPartError
        for condition, only_if in (("If-None-Match", ABSENT), ("If-Match", _OTHER)):
            async with _refused(condition, "CompleteMultipartUpload"):
                await run(lambda: multipart.complete(key, upload, [part], part.crc32c, only_if))  # noqa: B023 - awaited
    finally:
        await run(lambda: multipart.abort(key, upload))
        await home.disk.run(spool.close)


@asynccontextmanager
async def _refused(condition: str, request: str) -> AsyncIterator[None]:
    """Expect UnmetError. Raises UnsupportedError if it does not come."""
    try:
        yield
    except UnmetError:
        return
    raise UnsupportedError(
        f"the object store ignores {condition} of {request}: a file that must be the first of its name could replace another; "
        "such a store cannot be written to"
    )
