"""An object store as a store: S3, Google Cloud Storage, Azure, or what speaks like one of them.

obstore does the work: requests, retries, credentials. Its configuration is the usual one of each cloud, from the environment.

Rule 1: the revision of an object is its entity tag. An object without one is not served: nothing could tell two versions apart.
Rule 2: every read has a precondition, which the store enforces. One that cannot hold is tried first: a store that ignores it is
        refused.
Rule 3: names are checked here, because obstore takes `/a` and `a/` for `a`, and "" for the bucket.
Rule 4: small files are requested with one request each, many at the same time.
"""

from __future__ import annotations

import asyncio
import atexit
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote, urlsplit

from unspool.core.extras import extra
from unspool.core.model import FileInfo, ListRequest, NamedSpan, Page
from unspool.core.names import check_name, check_prefix, is_hidden
from unspool.core.reserved import is_reserved
from unspool.errors import (
    DataLossError,
    InvalidRequestError,
    NotAFileError,
    NotFoundError,
    ServerError,
    UnspoolError,
    UnsupportedError,
)
from unspool.stores.base import SmallFile
from unspool.stores.gathered import gathered
from unspool.stores.readahead import Budget
from unspool.stores.revisions import check_revision

with extra("objects"):
    import obstore
    from obstore.exceptions import PreconditionError

    from unspool.stores.objecterrors import mapped, other_bytes
    from unspool.stores.objectfile import ObjectFile
    from unspool.stores.objectinfo import MARK_KEY, described, info_of
    from unspool.stores.objectlist import Listing

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Objects

    from unspool.stores.s3 import S3Checksums

READ_AHEAD = 256 << 20
"""Bytes that all reads together may request ahead: eight streams at full depth."""

_SMALL_AT_ONCE = 32
"""Small objects that one batch requests at the same time."""

_CLIENT: ClientConfig = {"connect_timeout": "5s", "read_timeout": "15s", "timeout": "300s"}
"""obstore's default ends a request, with its body, after 30 s, and has no limit for silence. A part of 8 MiB takes 300 s at 28
kB/s; heartbeats keep the client waiting meanwhile."""

_RETRY: RetryConfig = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
"""Less patient than obstore's ten retries in three minutes: the client retries too, and another replica may do better."""

_SETTLING = 0.1
"""Seconds to wait at the end of the process. If it ends within milliseconds of a failed or cancelled request of obstore, it may
be aborted (SIGABRT; PyO3/pyo3-async-runtimes#40). Measured: 30 % of the runs, none of 60 with this."""

_ASKED = 10_000
"""Objects whose checksum at the store is remembered, as many as the checksums that a server remembers."""

_TRIED = 10
"""Objects among which one with bytes is looked for when the store is tried."""

_IMPOSSIBLE: GetOptions = {"range": (0, 1), "if_match": '"unspool-no-such-tag"'}
"""A read whose precondition cannot hold."""


class ObjectStore:
    """The objects of a bucket, or those below a prefix of it.

    The revision is the entity tag (ETag), and the content type is guessed from the name. The checksum is known if unspool wrote
    the object, or once it was read whole.

    Args:
        objects: an obstore store.
        hidden: whether to serve objects with a part of their name that begins with a dot.
        read_ahead: most bytes that all reads together request ahead, beside 1 MiB for each.
        metadata: whether listings have what unspool wrote into the metadata of objects (modification time, executable bit,
            checksum), as `stat` has it. That takes one request more for each object, several at the same time.
        checksums: asked for the checksum of an object that unspool wrote in parts: its metadata has none.
    """

    _at_exit: ClassVar[bool] = False

    def __init__(
        self,
        objects: Objects,
        *,
        hidden: bool = False,
        read_ahead: int = READ_AHEAD,
        metadata: bool = False,
        checksums: S3Checksums | None = None,
    ) -> None:
        self._objects = objects
        self._hidden = hidden
        self._budget = Budget(read_ahead)
        self._listing = Listing(objects, info_of, self._look_up, hidden=hidden, metadata=metadata)
        self._checksums = checksums
        self._asked: OrderedDict[tuple[str, str], int | None] = OrderedDict()
        self._proven = False
        self._small_size = 64 << 10  # the usual size of the small objects here, as far as seen
        if not ObjectStore._at_exit:
            ObjectStore._at_exit = True
            atexit.register(time.sleep, _SETTLING)

    def check(self, name: str = "the bucket") -> None:
        """Try the store with the first objects of a listing. Blocks. `name` begins the message of an error.

        Raises:
            UnsupportedError: the store ignores preconditions.
            NotFoundError, PermissionDeniedError, ServerError: as a listing would.
        """
        with mapped(name):
            first = next(iter(self._objects.list(chunk_size=_TRIED)), [])
        if any(self._enforces(meta["path"]) for meta in first if meta["size"]):
            self._proven = True

    def _enforces(self, name: str) -> bool:
        """Return whether the store enforces preconditions; False if there is no such object to try it with. Blocks."""
        try:
            with mapped(name, PreconditionError, FileNotFoundError):
                self._objects.get(name, options=_IMPOSSIBLE)
        except PreconditionError:
            return True
        except FileNotFoundError:
            return False
        raise _no_preconditions()

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        self._check(name)
        return (await self._head(name))[0]

    async def open(self, name: str, revision: str | None = None) -> ObjectFile:
        """See `Store.open`."""
        self._check(name)
        info, tag = await self._head(name)
        check_revision(info, revision)
        await self._prove(info)
        return ObjectFile(self._objects, info, tag, self._budget)

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """See `Store.read_small`."""
        answers: list[SmallFile] = []
        wanted = list(zip_longest(names, known))
        while len(answers) < len(names):
            count = max(1, min(_SMALL_AT_ONCE, most_bytes // max(self._small_size, 1)))
            some = wanted[len(answers) : len(answers) + count]
            got = await gathered([self._read_small(name, revision, most_bytes) for name, revision in some])
            for answer in got:
                size = 0 if answer is None or isinstance(answer, UnspoolError) else len(answer[1])
                if answer is None or size > most_bytes:
                    return answers
                most_bytes -= size
                answers.append(answer)
                self._small_size = (7 * self._small_size + size) // 8
            if most_bytes < self._small_size:
                break
        return answers

    async def read_spans(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """See `Store.read_spans`. One request for each span, several at the same time."""
        count = sum(1 for total in accumulate(length for _, _, length in wanted[:_SMALL_AT_ONCE]) if total <= most_bytes)
        got = await gathered([self._read_span(*span, most_bytes) for span in wanted[: max(count, 1)]])
        return [answer for answer in got if answer is not None]

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`. A listing of one level is collected before its first page: about 1 KB for each entry."""
        check_prefix(request.prefix)
        assert request.page_size is not None
        directory = request.prefix.removesuffix("/")
        if directory:
            try:
                yield Page(files=(await self.stat(directory),))
            except NotAFileError:
                pass
            else:
                return
        async with aclosing(self._listing.pages(directory, request.page_size, recursive=request.recursive)) as pages:
            async for page in pages:
                yield page

    async def aclose(self) -> None:
        """See `Store.aclose`. obstore closes its connections when they are no longer used."""
        if self._checksums is not None:
            self._checksums.close()

    def _check(self, name: str) -> None:
        """Raise an error unless this is the name of something that is served."""
        parts = check_name(name)
        if not self._hidden and is_hidden(name):
            raise NotFoundError(f"{name}: no such file", name=name)
        if any(map(is_reserved, parts)):
            raise NotFoundError(f"{name}: no such file", name=name)

    async def _look_up(self, name: str) -> FileInfo:
        with mapped(name):
            answer = await self._objects.get_async(name, options={"head": True})
        return described(answer.meta, answer.attributes)[0]

    async def _head(self, name: str) -> tuple[FileInfo, str]:
        """Return what an object is, and its entity tag."""
        try:
            with mapped(name):
                answer = await self._objects.get_async(name, options={"head": True})
        except NotFoundError as error:
            raise await self._missing(name, error) from None
        info, tag = described(answer.meta, answer.attributes)
        if self._checksums is not None and info.crc32c is None and info.size and answer.attributes.get(MARK_KEY) is not None:
            return replace(info, crc32c=await self._checksum(self._checksums, info)), tag
        return info, tag

    async def _checksum(self, checksums: S3Checksums, info: FileInfo) -> int | None:
        """Ask the store for the checksum of an object, once for each revision."""
        key = info.name, info.revision
        if key not in self._asked:
            said = await asyncio.to_thread(checksums.of, info.name)
            self._asked[key] = said[1] if said is not None and said[0].strip('"') == info.revision else None
            while len(self._asked) > _ASKED:
                self._asked.popitem(last=False)
        return self._asked[key]

    async def _missing(self, name: str, error: NotFoundError) -> NotFoundError:
        """Return the error for a name that no object has: NotAFileError if there are objects below it."""
        with mapped(name):
            below = await anext(self._objects.list(name, chunk_size=1), None)
        return error if below is None else NotAFileError(f"{name}: is a directory", name=name)

    async def _prove(self, info: FileInfo) -> None:
        """Make sure, once, that the store refuses a read whose precondition does not hold."""
        if self._proven or not info.size:
            return
        with mapped(info.name, PreconditionError), suppress(PreconditionError):
            await self._objects.get_async(info.name, options=_IMPOSSIBLE)
            raise _no_preconditions()
        self._proven = True

    async def _read_small(self, name: str, revision: str | None, most_bytes: int) -> SmallFile | None:
        """Return the answer for one of many files; None if it is larger than `most_bytes`."""
        try:
            self._check(name)
            if revision is not None:
                info, _ = await self._head(name)
                if info.revision == revision:
                    return info, b"", True
            try:
                return await self._get_small(name, most_bytes)
            except NotFoundError as error:
                return await self._missing(name, error)
        except UnspoolError as error:
            return error

    async def _get_small(self, name: str, most_bytes: int) -> SmallFile | None:
        with mapped(name):
            answer = await self._objects.get_async(name)
            info, _ = described(answer.meta, answer.attributes)
            if info.size > most_bytes:
                return None
            data = bytes(await answer.bytes_async())
        if len(data) != info.size:
            raise DataLossError(f"{name}: the object store sent {len(data)} bytes instead of {info.size}", name=name)
        return info, data, True

    async def _read_span(self, name: str, start: int, length: int, most_bytes: int) -> SmallFile | None:
        """Return the answer for one of several spans; None if it is longer than `most_bytes`."""
        try:
            self._check(name)
            try:
                if not 0 < length <= most_bytes:
                    info, _ = await self._head(name)
                    length = max(min(length, info.size - start), 0)
                    if not length:
                        return info, b"", True
                    if length > most_bytes:
                        return None
                return await self._get_span(name, start, length)
            except NotFoundError as error:
                return await self._missing(name, error)
        except UnspoolError as error:
            return error

    async def _get_span(self, name: str, start: int, length: int) -> SmallFile:
        try:
            with mapped(name):
                answer = await self._objects.get_async(name, options={"range": (start, start + length)})
                info, _ = described(answer.meta, answer.attributes)
                data = bytes(await answer.bytes_async())
        except ServerError:
            info, _ = await self._head(name)
            if start < info.size:
                raise
            return info, b"", True  # stores differ in how they refuse a range beyond the end
        stop = min(start + length, info.size)
        if answer.range != (start, stop) or len(data) != stop - start:
            raise other_bytes(name, start)
        return info, data, True


def _no_preconditions() -> UnsupportedError:
    return UnsupportedError(
        "the object store ignores If-Match: an object could be replaced while it is read, and nobody would notice; "
        "such a store cannot be served"
    )


def open_objects(url: str, *, allow_http: bool = False) -> Objects:
    """Return obstore's store for the bucket at a URL, such as `s3://BUCKET/PREFIX`. It makes no request."""
    try:
        return obstore.store.from_url(url, client_options={**_CLIENT, "allow_http": allow_http}, retry_config=_RETRY)
    except Exception as error:  # obstore raises many kinds for a URL or a configuration that it does not understand
        raise InvalidRequestError(f"{url}: is not the URL of an object store, or its configuration is incomplete") from error


def open_url(
    url: str,
    *,
    hidden: bool = False,
    allow_http: bool = False,
    metadata: bool = False,
    environment: Mapping[str, str] | None = None,
    read_ahead: int | None = None,
) -> ObjectStore:
    """Open the bucket at a URL, such as `s3://BUCKET/PREFIX`. Blocks until the store has answered a first request.

    Args:
        url: the URL.
        hidden: see `ObjectStore`.
        allow_http: whether the endpoint may be `http://`.
        metadata: see `ObjectStore`.
        environment: configures who asks S3 for checksums of objects that were written in parts; None asks nobody.
        read_ahead: see `ObjectStore`; None for its default.
    """
    objects = open_objects(url, allow_http=allow_http)
    checksums = None if environment is None else _checksums(url, environment)
    ahead = READ_AHEAD if read_ahead is None else read_ahead
    store = ObjectStore(objects, hidden=hidden, read_ahead=ahead, metadata=metadata, checksums=checksums)
    store.check(url)
    return store


def bucket_of(url: str, *schemes: str) -> tuple[str, str] | None:
    """Return the bucket and the prefix of a URL, if it has one of these schemes: by default those of S3."""
    parts = urlsplit(url)
    return (parts.netloc, unquote(parts.path).strip("/")) if parts.scheme in (schemes or ("s3", "s3a")) else None


def _checksums(url: str, environment: Mapping[str, str]) -> S3Checksums | None:
    """Return what asks for checksums at a URL, if there is such a thing for it, and botocore is installed."""
    bucket = bucket_of(url)
    if bucket is None:
        return None
    try:
        from unspool.stores.s3 import S3Checksums  # noqa: PLC0415 - not everywhere
    except UnsupportedError:
        return None
    return S3Checksums(*bucket, environment)
