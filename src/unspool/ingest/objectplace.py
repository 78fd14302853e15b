"""What an object store keeps of uploads, below `.unspool-uploads`: nobody is served it, or told of it.

    open/OWNER/KEY/record         what there is of an upload, as `core.uploadrecord` writes it
    open/OWNER/KEY/tail-START-SUM  bytes of a part that is not complete, from byte START on, with their CRC32C
    done/OWNER/KEY                a committed upload, remembered for a while
    storage/id                    random, written once: the storage's id is made of it
    storage/probe-...             tried at the start

Rule 1: a record is written only if it is still the one that was read or written last: of two servers that have one upload open,
        the older one fails, and so finds out.
Rule 2: what is not recorded is not counted. The parts of an upload are in the store's own keeping, and the record names them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress

from unspool.core.checksum import crc32c
from unspool.core.model import FileInfo, Span
from unspool.core.reserved import UPLOADS
from unspool.core.uploading import UploadIdentity
from unspool.core.uploadrecord import UploadRecord, decode, decode_committed, encode_committed
from unspool.core.value import value
from unspool.errors import ServerError
from unspool.ingest.bucket import ABSENT, Bucket
from unspool.ingest.multipart import UnmetError
from unspool.ingest.staging import key_of, owner_digest

PROBES = f"{UPLOADS}/storage/probe"
"""What the keys begin with of objects that a server tries the store with."""

_TAIL = re.compile(r"tail-([0-9a-f]{16})-([0-9a-f]{8})")


@value
class Tail:
    """Bytes of a part that is not complete: the object that has them, their span in the file, and their CRC32C."""

    key: str
    span: Span
    crc32c: int


@value
class KeptUpload:
    """What is kept of an upload.

    Attributes:
        record: None if there is none, or only a damaged one.
        tag: entity tag of the record; None if there is none.
        tails: the bytes of incomplete parts.
    """

    record: UploadRecord | None
    tag: str | None
    tails: Sequence[Tail]


class Place:
    """Where one upload is kept.

    Args:
        bucket: has it.
        identity: the upload's.

    Attributes:
        key: of the upload. The marks of its objects begin with it.
    """

    def __init__(self, bucket: Bucket, identity: UploadIdentity) -> None:
        self._bucket = bucket
        self.key = key_of(identity)
        self._prefix = prefix_of(self.key)
        self._done = f"{UPLOADS}/done/{self.key.replace('-', '/')}"

    @property
    def record_key(self) -> str:
        """The key of the record."""
        return f"{self._prefix}/record"

    async def keep_tail(self, start: int, data: bytes) -> None:
        """Keep bytes of an incomplete part, from byte `start` of the file on."""
        await self._bucket.put(f"{self._prefix}/tail-{start:016x}-{crc32c(data):08x}", data, {}, None)

    async def load(self) -> KeptUpload:
        """Return what is kept."""
        listed = await self._bucket.keys(self._prefix)
        tails = []
        for kept in listed:
            found = _TAIL.fullmatch(kept.key.removeprefix(f"{self._prefix}/"))
            if found is not None:
                start = int(found[1], 16)
                tails.append(Tail(kept.key, Span(start, start + kept.size), int(found[2], 16)))
        record = tag = None
        if any(kept.key == self.record_key for kept in listed) and (got := await self._bucket.get(self.record_key)) is not None:
            record, tag = decode(got[0]), got[1]
        return KeptUpload(record, tag, tails)

    async def write(self, record: UploadRecord, tag: str | None) -> str:
        """Write the record over the one with this entity tag; None if there must be none. Return the new tag.

        Raises:
            UnmetError: another one is there.
        """
        data = record.encode()
        try:
            return await self._bucket.put(self.record_key, data, {}, ABSENT if tag is None else tag)
        except UnmetError:
            got = await self._bucket.get(self.record_key)
            if got is None or got[0] != data:  # the same if only the answer was lost
                raise
            return got[1]

    async def remembered(self) -> FileInfo | None:
        """Return the file if the upload was committed."""
        got = await self._bucket.get(self._done)
        return None if got is None else decode_committed(got[0])

    async def remember(self, info: FileInfo) -> None:
        """Remember that the upload was committed."""
        await self._bucket.put(self._done, encode_committed(info), {}, None)

    async def read(self, key: str) -> bytes:
        """Return the bytes of a tail; none if it is gone."""
        got = await self._bucket.get(key)
        return b"" if got is None else got[0]

    async def remove(self, keys: Iterable[str]) -> None:
        """Remove tails."""
        await self._bucket.remove(keys)

    async def forget(self) -> None:
        """Remove what is kept, but not the parts."""
        await self._bucket.remove(kept.key for kept in await self._bucket.keys(self._prefix))


async def storage_id(bucket: Bucket, where: str = "") -> str:
    """Return the id of the storage at `where`: of what is kept there, and of its name, which a copy of the bucket has not."""
    key = f"{UPLOADS}/storage/id"
    kept = await bucket.get(key)
    if kept is None:
        with suppress(UnmetError):  # another server was faster
            await bucket.put(key, secrets.token_bytes(16), {}, ABSENT)
        kept = await bucket.get(key)
    if kept is None:
        raise ServerError("what names the storage of this server was removed just now")
    return hashlib.sha256(kept[0] + where.encode()).hexdigest()[:32]


def prefix_of(key: str) -> str:
    """Return the prefix below which an upload is kept."""
    return f"{UPLOADS}/open/{key.replace('-', '/')}"


def owner_prefix(owner: str) -> str:
    """Return the prefix below which all uploads of an owner are kept that are not committed."""
    return f"{UPLOADS}/open/{owner_digest(owner)}"
