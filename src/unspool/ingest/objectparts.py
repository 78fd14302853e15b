"""What an object store has of one upload that is open: the parts that were sent, and the record of them.

Rule 1: a part counts as durable when the record says that the store has it, and the record names the upload of parts before the
        first one is sent. So nothing is left in the store that nobody finds.
Rule 2: another server that opened this upload has replaced the record. Whoever finds that is taken over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from unspool.core.uploading import UploadOpen
from unspool.core.uploadrecord import SentPart, UploadRecord
from unspool.errors import ServerError, TakenOverError
from unspool.ingest.bucket import Bucket, OnlyIf
from unspool.ingest.multipart import GoneError, LostPartError, Multipart, UnmetError
from unspool.ingest.objectplace import Place
from unspool.ingest.spool import Spool
from unspool.stores.contenttypes import content_type_of
from unspool.stores.objectinfo import metadata_of
from unspool.stores.threads import Threads


class BucketHome:
    """What the uploads of an ingester share.

    Args:
        bucket: where the files go.
        multipart: sends parts.
        disk: most threads that use spools.
        senders: most threads that send parts.
        whole: most objects at a time that are in memory while they are written.

    Attributes:
        bucket, multipart: as given.
        disk, senders: the threads.
        sending: held by those that send a complete part, so that parts which wait for a thread wait in their clients.
        whole: held by those that write such an object.
    """

    def __init__(self, bucket: Bucket, multipart: Multipart, *, disk: int, senders: int, whole: int) -> None:
        self.bucket = bucket
        self.multipart = multipart
        self.disk = Threads(disk)
        self.senders = Threads(senders)
        self.sending = asyncio.Semaphore(senders)
        self.whole = asyncio.Semaphore(whole)

    def close(self) -> None:
        """Close the threads and the connections."""
        self.disk.close()
        self.senders.close()
        self.multipart.close()


class SentParts:
    """The parts of one upload that the store has.

    Args:
        opens: what the client said.
        home: what the ingester's uploads share.
        place: where the upload is kept.
        record: what there is of it.
        tag: entity tag of the record; None if it was not written.

    Attributes:
        record: as it is to be.
        durable: the parts that the record has, as it was written last.
        taken_over: set when another server has replaced the record.
    """

    def __init__(self, opens: UploadOpen, home: BucketHome, place: Place, record: UploadRecord, tag: str | None) -> None:
        self.record = record
        self.durable = dict(record.parts)
        self.taken_over = asyncio.Event()
        self._opens = opens
        self._home = home
        self._place = place
        self._tag = tag
        self._recording = asyncio.Lock()
        self._written = self._wanted = 0  # versions of the record
        self._beginning = asyncio.Lock()

    @property
    def is_recorded(self) -> bool:
        """Whether there is a record in the store."""
        return self._tag is not None

    async def note(self) -> None:
        """Write the record as it is now. Several that want this at the same time have it written once.

        Raises:
            TakenOverError: another server has written it.
        """
        self._wanted += 1
        mine = self._wanted
        async with self._recording:
            if self._written >= mine:
                return
            version, record = self._wanted, replace(self.record, parts=dict(self.record.parts))
            try:
                self._tag = await self._place.write(record, self._tag)
            except UnmetError:
                self.taken_over.set()
                raise taken_over(self._opens.name) from None
            self._written = version
            self.durable = record.parts

    async def send(self, number: int, spool: Spool) -> SentPart:
        """Send a part. It is not recorded."""
        name, multipart, senders = self._opens.name, self._home.multipart, self._home.senders
        async with self._beginning:
            if not self.record.multipart:
                metadata = metadata_of(self._opens.attributes, mark=self.record.mark, crc32c=self._opens.crc32c)
                upload = await senders.run(lambda: multipart.begin(name, metadata, content_type_of(name)))
                self.record = replace(self.record, multipart=upload)
                try:
                    await self.note()
                except TakenOverError:  # nobody would find it
                    await senders.run(lambda: multipart.abort(name, upload))
                    raise
        upload = self.record.multipart
        try:
            tag = await senders.run(lambda: multipart.send(name, upload, number, spool.body(), spool.crc32c))
        except GoneError:
            raise unknown(name) from None
        except LostPartError:
            raise ServerError(f"{name}: a part of it was damaged on the way to the object store", name=name) from None
        return SentPart(spool.length, spool.crc32c, tag)

    async def complete(self, last: Mapping[int, SentPart], size: int, checksum: int, only_if: OnlyIf) -> str:
        """Make the object of the recorded parts and of those in `last`. See `Multipart.complete`."""
        parts = {**self.record.parts, **last}
        sent = [parts[number] for number in range(-(-size // self.record.part_size))]
        name, upload, multipart = self._opens.name, self.record.multipart, self._home.multipart
        return await self._home.senders.run(lambda: multipart.complete(name, upload, sent, checksum, only_if))

    async def forget_lost(self) -> set[int]:
        """Forget the parts that the store does not have as they were sent, or all, if it seems to have them. Return which."""
        name, upload, multipart = self._opens.name, self.record.multipart, self._home.multipart
        try:
            lost = lost_parts(self.record, await self._home.senders.run(lambda: multipart.parts(name, upload)))
        except GoneError:
            lost = set()
        lost = lost or set(self.record.parts)
        for number in lost:
            del self.record.parts[number]
        await self.note()
        return lost


def lost_parts(record: UploadRecord, there: Mapping[int, tuple[int, str]]) -> set[int]:
    """Return which of the recorded parts the store does not have as they were sent."""
    return {
        number
        for number, part in record.parts.items()
        if (found := there.get(number)) is None or (found[0], found[1].strip('"')) != (part.length, part.tag.strip('"'))
    }


def taken_over(name: str) -> TakenOverError:
    """Return the error of an upload that another stream goes on with."""
    return TakenOverError(f"{name}: another stream goes on with this upload", name=name)


def unknown(name: str) -> ServerError:
    """Return the error of an upload that the store does not know any more."""
    said = "the object store does not know this upload any more, since it was completed or removed: open it again"
    return ServerError(f"{name}: {said}", name=name)
