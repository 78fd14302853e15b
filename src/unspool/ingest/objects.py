"""An object store as the place of uploads: the bucket that an object store's `ObjectStore` serves.

Rule 1: everything that survives is in the store. Another server over the same bucket goes on with an upload as this one would.
Rule 2: a store that does not enforce conditions is refused at the start: a file that is to be the first of its name could
        replace another.
Rule 3: what comes from an earlier opening is looked at again before it is used: the store is asked which parts it has, and the
        beginning of an incomplete part is read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from unspool.core.condition import check_condition, check_present, may_be_same
from unspool.core.model import FileInfo
from unspool.core.segments import SegmentTable
from unspool.core.uploading import NewFile, UploadIdentity, UploadOpen, WrittenFile
from unspool.core.uploadparts import MOST_PARTS
from unspool.core.uploadrecord import decode
from unspool.errors import FileChangedError, InvalidRequestError
from unspool.ingest.base import Known
from unspool.ingest.bucket import Bucket, FoundObject
from unspool.ingest.limits import check_count, check_share, check_size
from unspool.ingest.multipart import Multipart, UnmetError
from unspool.ingest.newnames import check_new_name
from unspool.ingest.objectparts import BucketHome
from unspool.ingest.objectplace import KeptUpload, Place, owner_prefix, prefix_of, storage_id
from unspool.ingest.objectprobe import probe
from unspool.ingest.objectresume import known, resume
from unspool.ingest.objectsmall import SmallObjects
from unspool.ingest.objectsweep import sweep
from unspool.ingest.objectupload import ObjectUpload
from unspool.options import IngestOptions
from unspool.stores.objects import bucket_of, open_objects

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Objects

_DISK, _SENDERS = 8, 16
"""Most threads that use spools, which rarely wait, and that send parts, which wait for the network: four uploads send all they
can."""

_WHOLE = 8
"""Most objects at a time that are in memory while they are written: files that fit into one part, so at most 128 MiB."""


class ObjectIngester:
    """Receives files into an object store. See `Ingester`.

    Uploads are kept below `.unspool-uploads/` in the bucket, and their parts in the store's own keeping. Several servers may
    receive into one bucket.

    Args:
        objects: an obstore store.
        multipart: sends parts into the same bucket.
        options: what is taken, and how long it is kept.
        where: names the bucket and the prefix in it.
        hidden: whether dotfiles may be written, as the store has it.
        clock: returns the seconds since 1970.
    """

    def __init__(
        self,
        objects: Objects,
        multipart: Multipart,
        options: IngestOptions | None = None,
        *,
        where: str = "",
        hidden: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._options = options or IngestOptions()
        self._where = where
        self._hidden = hidden
        self._clock = clock
        self._bucket = Bucket(objects)
        self._home = BucketHome(self._bucket, multipart, disk=_DISK, senders=_SENDERS, whole=_WHOLE)
        self._naming: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._small = SmallObjects(self._bucket, self._lock_of, hidden=hidden)
        self._live: dict[str, ObjectUpload] = {}

    async def check(self, where: str = "the bucket") -> None:
        """Try what uploads need, with a few objects that are removed again. `where` begins the message of an error.

        Raises:
            UnsupportedError: the store does not enforce conditions.
            PermissionDeniedError, ServerError: it cannot be written to.
        """
        await probe(self._home, where)

    @property
    def largest_file(self) -> int | None:
        """See `Ingester.largest_file`."""
        most = self._home.multipart.largest_object
        return most if self._options.largest_file is None else min(self._options.largest_file, most)

    @property
    def expires_after(self) -> float | None:
        """See `Ingester.expires_after`."""
        return self._options.keep

    def _lock_of(self, name: str) -> asyncio.Lock:
        """Return the lock under which what is at a name is compared and replaced.

        A store may do both at once for whole objects, and not for those made of parts (SeaweedFS).
        """
        return self._naming.setdefault(name, asyncio.Lock())

    # Opening

    async def open(self, opens: UploadOpen, owner: str) -> ObjectUpload | FileInfo:
        """See `Ingester.open`."""
        name = opens.name
        check_new_name(name, hidden=self._hidden)
        check_size(name, opens.size, self.largest_file)
        place = Place(self._bucket, UploadIdentity(opens.upload_id, name, owner))
        async with self._opening.setdefault(place.key, asyncio.Lock()):
            if (older := self._live.get(place.key)) is not None:
                await older.give_up()
            done, kept, current = await asyncio.gather(place.remembered(), place.load(), self._bucket.current(name))
            if done is not None:
                await self._remove(name, place, kept)  # whoever committed it may not have lived to do so
                return done
            if current is not None and (info := await self._there_already(opens, place, kept, current)) is not None:
                await self._remove(name, place, kept)
                return info
            check_condition(name, opens.condition, None if current is None else current.info)
            if kept.record is None:
                await self._check_room(place, opens, owner)
            upload = await self._opened(opens, place, kept, owner)
            self._live[place.key] = upload
            return upload

    async def _there_already(self, opens: UploadOpen, place: Place, kept: KeptUpload, current: FoundObject) -> FileInfo | None:
        """Return the file at the name if this upload was committed, or if it has the bytes of the upload already."""
        if current.mark.startswith(f"{place.key}."):  # whoever committed it did not live to remember it
            info = await self._with_checksum(current)
            if info.crc32c is None and kept.record is not None:
                table = SegmentTable(kept.record.part_size, kept.record.segments())
                info = replace(info, crc32c=table.checksum(info.size))
            await place.remember(info)
            return info
        check_condition(opens.name, opens.condition, current.info)
        if opens.sha256 is None and may_be_same(opens, current.info):
            info = await self._with_checksum(current)
            if info.crc32c == opens.crc32c:
                return info
        return None

    async def _with_checksum(self, found: FoundObject) -> FileInfo:
        """Return what an object is, with the store's checksum if there is one."""
        if found.info.crc32c is not None:
            return found.info
        multipart, name = self._home.multipart, found.info.name
        said = await self._home.senders.run(lambda: multipart.checksum(name))
        return replace(found.info, crc32c=said[1]) if said and said[0].strip('"') == found.info.revision else found.info

    async def _check_room(self, place: Place, opens: UploadOpen, owner: str) -> None:
        """Raise NoSpaceError if the owner has too much that is unfinished."""
        others = await self._others(place, owner)
        check_count(opens.name, len(others), self._options)
        used = 0 if self._options.bytes is None else await self._used(others, owner)
        check_share(opens.name, opens.size or 0, used, self._options)

    async def _room(self, place: Place, name: str, owner: str, end: int) -> int:
        """See `ObjectUpload`. Other uploads of the owner grow meanwhile, so it is asked again, but not with every part."""
        used = 0 if self._options.bytes is None else await self._used(await self._others(place, owner), owner)
        return check_share(name, end, used, self._options)

    async def _others(self, place: Place, owner: str) -> set[str]:
        """Return where the other unfinished uploads of an owner are kept."""
        below_owner = owner_prefix(owner)
        listed = {f"{below_owner}/{below}" for below in await self._bucket.directories(below_owner)}
        return (listed | {one for key in self._live if (one := prefix_of(key)).startswith(f"{below_owner}/")}) - {
            prefix_of(place.key)
        }

    async def _used(self, prefixes: set[str], owner: str) -> int:
        """Return how many bytes the store has of the uploads of an owner that are kept there, or this server received."""
        live = {prefix_of(key): upload.known().good_bytes for key, upload in self._live.items()}
        used = sum(live[prefix] for prefix in prefixes & live.keys())
        prefixes = prefixes - live.keys()
        for kept in await self._bucket.keys(owner_prefix(owner)):
            prefix, _, below = kept.key.rpartition("/")
            if prefix in prefixes and below != "record":
                used += kept.size
        for got in await asyncio.gather(*(self._bucket.get(f"{prefix}/record") for prefix in prefixes)):
            record = None if got is None else decode(got[0])
            used += sum(part.length for part in record.parts.values()) if record is not None else 0
        return used

    async def _opened(self, opens: UploadOpen, place: Place, kept: KeptUpload, owner: str) -> ObjectUpload:
        """Go on with what is kept of an upload."""
        record = kept.record
        if record is not None and -(-(opens.size or 0) // record.part_size) > MOST_PARTS:
            await self._remove(opens.name, place, kept)
            kept = KeptUpload(None, None, ())
        sent, spools = await resume(opens, self._home, place, kept)
        naming = self._lock_of(opens.name)
        return ObjectUpload(
            opens,
            self._home,
            place,
            sent,
            spools,
            naming=naming,
            room=lambda end: self._room(place, opens.name, owner, end),
            let_go=partial(self._forget, place.key),
        )

    # Other ways to an upload

    async def stat(self, identity: UploadIdentity) -> Known:
        """See `Ingester.stat`."""
        check_new_name(identity.name, hidden=self._hidden)
        place = Place(self._bucket, identity)
        if (live := self._live.get(place.key)) is not None:
            return live.known()
        done, kept = await asyncio.gather(place.remembered(), place.load())
        return done or known(kept)

    async def abandon(self, identity: UploadIdentity) -> None:
        """See `Ingester.abandon`."""
        check_new_name(identity.name, hidden=self._hidden)
        place = Place(self._bucket, identity)
        async with self._opening.setdefault(place.key, asyncio.Lock()):
            if (live := self._live.get(place.key)) is not None:
                await live.give_up()
            await self._remove(identity.name, place, await place.load())

    async def _remove(self, name: str, place: Place, kept: KeptUpload) -> None:
        """Remove what is kept of an upload."""
        if kept.record is not None and (upload := kept.record.multipart):
            multipart = self._home.multipart
            await self._home.senders.run(lambda: multipart.abort(name, upload))
        if kept.tag is not None or kept.tails:
            await place.forget()

    async def write_small(self, files: Sequence[NewFile]) -> Sequence[WrittenFile]:
        """See `Ingester.write_small`."""
        return await self._small.write(files)

    async def delete(self, name: str, revision: str | None = None) -> FileInfo:
        """See `Ingester.delete`."""
        check_new_name(name, hidden=self._hidden)
        multipart = self._home.multipart
        async with self._lock_of(name):
            current = await self._bucket.current(name)
            info = check_present(name, revision, None if current is None else current.info)
            if current is None or revision is None:
                await self._bucket.remove([name])
                return info
            tag = current.tag
            try:
                await self._home.senders.run(lambda: multipart.delete(name, tag))
            except UnmetError:
                raise FileChangedError(
                    f"{name}: the file changed: it is not at revision {revision} any more", name=name
                ) from None
            return info

    async def storage(self) -> str:
        """See `Ingester.storage`. A bucket has the same id at each of its endpoints."""
        return await storage_id(self._bucket, self._where)

    async def sweep(self) -> int:
        """See `Ingester.sweep`."""
        return await sweep(self._home, self._options, self._clock(), self._live.keys())

    def _forget(self, key: str, upload: ObjectUpload) -> None:
        if self._live.get(key) is upload:
            del self._live[key]

    async def aclose(self) -> None:
        """See `Ingester.aclose`."""
        for upload in list(self._live.values()):
            await upload.aclose()
        self._home.close()


def open_url(
    url: str,
    environment: Mapping[str, str],
    options: IngestOptions | None = None,
    *,
    hidden: bool = False,
    allow_http: bool = False,
) -> ObjectIngester:
    """Open the bucket at a URL, `s3://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`, for writing. It makes no request: see `check`.

    Args:
        url: the URL that `open_store` is given.
        environment: what configures the access: `os.environ`. obstore reads the environment of the process itself.
        options: what is taken, and how long it is kept.
        hidden: whether dotfiles may be written, as the store has it.
        allow_http: whether the endpoint may be `http://`, in clear.

    Raises:
        InvalidRequestError: this is no URL of a bucket that can be written to, or the configuration is incomplete.
        UnsupportedError: the extra `objects`, or for Azure `azure`, is not installed.
    """
    multipart: Multipart
    if (bucket := bucket_of(url)) is not None:
        from unspool.ingest.s3 import S3Multipart  # noqa: PLC0415 - another extra than Azure's

        objects = open_objects(url, allow_http=allow_http)
        multipart = S3Multipart(*bucket, environment)
    elif (bucket := bucket_of(url, "az", "azure")) is not None:
        from unspool.ingest.azure import AzureBlocks  # noqa: PLC0415 - as above

        objects = open_objects(url, allow_http=allow_http)
        multipart = AzureBlocks(*bucket, environment)
    else:
        raise InvalidRequestError(
            f"{url}: files can be written below a directory, into buckets of S3 or what speaks its protocol (s3://BUCKET), "
            "and into containers of Azure (az://CONTAINER), not into other object stores"
        )
    return ObjectIngester(objects, multipart, options, where="/".join(bucket), hidden=hidden)
