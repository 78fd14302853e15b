"""The file systems `unspool://` and `unspools://` for fsspec, over `Client`.

Rule 1: the server is part of a path, as a bucket is elsewhere: `HOST:PORT/NAME`. There is one client for each server.
Rule 2: all bytes of an open file, and of one call of `cat_ranges` for one file, are of one revision.
Rule 3: nothing is remembered of listings: each is asked for again.
Rule 4: what is missing is a FileNotFoundError; a server that does not answer is not.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar
from weakref import finalize

from fsspec.asyn import AsyncFileSystem, get_loop, sync

from unspool.client.client import Client
from unspool.core.model import FileInfo, NamedSpan
from unspool.core.spans import GAP, MergedSpan, merge_spans, resolve
from unspool.errors import (
    InvalidRequestError,
    StartPastEndError,
    UnspoolError,
    UnsupportedError,
)
from unspool.filesystem.file import UnspoolFile
from unspool.filesystem.hosts import Hosts
from unspool.filesystem.listings import Listings
from unspool.filesystem.paths import described, file_of
from unspool.filesystem.trees import Trees
from unspool.filesystem.writes import Writes
from unspool.filesystem.written import WrittenFile
from unspool.options import Security, TransferOptions
from unspool.rpc import forks

STREAMS = 8
"""Calls at the same time. Reads of an object store gain up to 8 at once (measured, with 40 ms for each request); a server takes
100 from one peer, and a download may use 8 streams for its file."""


class UnspoolFileSystem(Writes, Listings, Trees, AsyncFileSystem):
    """Files on unspool servers: `fsspec.open("unspool://HOST:PORT/NAME")`.

    Args:
        options: how transfers behave.
        streams: most calls at the same time, in each event loop.
        upload_key: see `Client`. A `put` goes on with what an earlier process has sent with the same key.
        tls, ca, cert, key, token, token_in_clear: see `unspool.options.Security`. They are for all servers.
        asynchronous, loop, batch_size, skip_instance_cache: see fsspec.
    """

    protocol: ClassVar[str] = "unspool"
    root_marker = ""
    _pid: int
    _secure: ClassVar[bool] = False

    def __init__(
        self,
        *,
        options: TransferOptions | None = None,
        streams: int = STREAMS,
        upload_key: str | None = None,
        tls: bool = False,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        batch_size: int | None = None,
        **security_and_more: Any,
    ) -> None:
        security = Security(tls=tls)
        for key in ("ca", "cert", "key", "token", "token_in_clear"):
            if key in security_and_more:
                security[key] = security_and_more.pop(key)
        super().__init__(asynchronous=asynchronous, loop=loop, batch_size=batch_size, **security_and_more)
        self._streams = streams
        self._hosts = Hosts(partial(_connect, self._secure, options, upload_key, security), streams)
        finalize(self, self._hosts.close_soon).atexit = False

    # What it is

    @property
    def loop(self) -> Any:
        """The event loop of blocking calls. A forked child gets its own.

        Raises:
            InvalidRequestError: this process was forked while gRPC was in use.
        """
        if self._pid != os.getpid():
            forks.check()
            self._pid, self._loop = os.getpid(), None if self.asynchronous else get_loop()
        return self._loop

    @property
    def storage_options(self) -> dict[str, Any]:
        """What it was made with."""
        return self._made_with

    @storage_options.setter
    def storage_options(self, options: dict[str, Any]) -> None:
        self._made_with = _StorageOptions(options)

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """Return what it takes to make it again, with or without the token."""
        made: dict[str, Any] = super().to_dict(include_password=include_password)
        if not include_password:
            made.pop("token", None)
        return made

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        if isinstance(stripped, str) and stripped.startswith(("unspool://", "unspools://")):
            raise InvalidRequestError(f"{path}: not a URL of {cls.protocol}://; fsspec has a file system for each of the two")
        return stripped

    async def aclose(self) -> None:
        """Close the connections of this event loop. They are made again when they are needed."""
        await self._hosts.aclose()

    # Files

    async def _stat(self, path: str) -> FileInfo:
        host, name = file_of(path)
        async with self._hosts.call(host) as client:
            return await client.stat(name)

    async def _read(self, path: str, start: int, stop: int | None, revision: str | None) -> tuple[bytes, str | None]:
        """Return the bytes of a span, as far as the file has them, and the revision; None if there are no bytes."""
        host, name = file_of(path)
        length = None if stop is None else stop - start
        try:
            async with (
                self._hosts.call(host) as client,
                client.open(name, start=start, length=length, revision=revision) as reading,
            ):
                data = await reading.read()
                return data, None if reading.info is None else reading.info.revision
        except StartPastEndError:
            return b"", revision

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, *, revision: str | None = None, **_: Any
    ) -> bytes:
        path = self._strip_protocol(path)
        if (start or 0) < 0 or (end is not None and end < 0):
            info = await self._stat(path)
            start, end = resolve(start, end, info.size)
            revision = revision or info.revision
        start = start or 0
        if end is not None and end <= start:
            return b""
        data, _revision = await self._read(path, start, end, revision)
        return data

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: int | Iterable[int | None] | None,
        ends: int | Iterable[int | None] | None,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[bytes | BaseException]:
        if not isinstance(paths, list):
            raise TypeError("paths must be a list")
        firsts = list(starts) if isinstance(starts, Iterable) else [starts] * len(paths)
        lasts = list(ends) if isinstance(ends, Iterable) else [ends] * len(paths)
        if not len(firsts) == len(lasts) == len(paths):
            raise ValueError("paths, starts and ends must be of one length")
        gap = GAP if max_gap is None else max_gap
        out: list[bytes | BaseException] = [b""] * len(paths)
        of_host: dict[str, dict[str, list[int]]] = {}
        for index, path in enumerate(paths):
            try:
                host, name = file_of(self._strip_protocol(path))
                of_host.setdefault(host, {}).setdefault(name, []).append(index)
            except (UnspoolError, OSError, ValueError) as error:
                out[index] = error
        spans = list(zip(firsts, lasts, strict=True))
        await asyncio.gather(*(self._fill(out, host, of_name, spans, gap) for host, of_name in of_host.items()))
        if on_error != "return" and (failed := next((one for one in out if isinstance(one, BaseException)), None)):
            raise failed
        return out

    async def _fill(
        self,
        out: list[bytes | BaseException],
        host: str,
        of_name: dict[str, list[int]],
        asked: Sequence[tuple[int | None, int | None]],
        gap: int,
    ) -> None:
        """Put the bytes of the spans of one server's files into their places, or what went wrong with each."""
        spans: list[NamedSpan] = []
        fetched: list[tuple[list[tuple[int, int]], list[int], MergedSpan]] = []
        revisions: dict[str, str] = {}
        resolved = await asyncio.gather(
            *(self._resolved(f"{host}/{name}", [asked[index] for index in indexes]) for name, indexes in of_name.items()),
            return_exceptions=True,
        )
        for (name, indexes), found in zip(of_name.items(), resolved, strict=True):
            if isinstance(found, BaseException):
                for index in indexes:
                    out[index] = found
                continue
            of_file, revision = found
            if revision is not None:
                revisions[name] = revision
            for one in merge_spans(of_file, gap):
                spans.append((name, one.start, one.stop - one.start))
                fetched.append((of_file, indexes, one))
        if not spans:
            return
        async with self._hosts.call(host) as client:
            options = client.options if client.options.jobs else replace(client.options, jobs=self._streams)
            parts = await client.read_many(spans, revisions=revisions, return_exceptions=True, options=options)
        for (of_file, indexes, one), part in zip(fetched, parts, strict=True):
            for member in one.members:
                start, stop = of_file[member]
                if isinstance(part, StartPastEndError):
                    out[indexes[member]] = b""
                else:
                    out[indexes[member]] = (
                        part if isinstance(part, UnspoolError) else part[start - one.start : stop - one.start]
                    )

    async def _resolved(
        self, path: str, asked: Sequence[tuple[int | None, int | None]]
    ) -> tuple[list[tuple[int, int]], str | None]:
        """Return spans of one file as numbers; and its revision, if its size had to be asked for."""
        if all((start or 0) >= 0 and end is not None and end >= 0 for start, end in asked):
            return [(start or 0, end or 0) for start, end in asked], None
        info = await self._stat(path)
        return [resolve(start, end, info.size) for start, end in asked], info.revision

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **kwargs: Any) -> UnspoolFile | WrittenFile:
        if mode != "rb":
            return self._open_to_write(path, mode, block_size, **kwargs)
        kwargs.pop("autocommit", None)
        kwargs.pop("size", None)  # it was another revision's, perhaps
        info = sync(self.loop, self._stat, path)
        return UnspoolFile(self, path, info, described(path, info), block_size=block_size, **kwargs)

    # Times

    def modified(self, path: str) -> datetime:
        """Return when the bytes last changed, by the server's clock.

        Raises:
            UnsupportedError: the server's store does not know.
        """
        path = self._strip_protocol(path)
        info: FileInfo = sync(self.loop, self._stat, path)
        if info.attributes.modified_ns is None:
            raise UnsupportedError(f"{path}: the server does not know when it was changed", name=path)
        return datetime.fromtimestamp(info.attributes.modified_ns / 1e9, UTC)

    def created(self, path: str) -> datetime:
        """Raise UnsupportedError: servers know when a file's bytes last changed, not since when there is one of its name."""
        raise UnsupportedError(f"{path}: servers do not know when a file was created; `modified` is when it last changed")


class SecureUnspoolFileSystem(UnspoolFileSystem):
    """The same over TLS: `fsspec.open("unspools://HOST:PORT/NAME")`."""

    protocol: ClassVar[str] = "unspools"
    _secure: ClassVar[bool] = True


class _StorageOptions(dict[str, Any]):
    """Storage options whose `repr` does not show the token."""

    def __repr__(self) -> str:
        return repr({key: "..." if key == "token" else value for key, value in self.items()})


def _connect(secure: bool, options: TransferOptions | None, upload_key: str | None, security: Security, host: str) -> Client:
    return Client(f"unspools://{host}" if secure else host, options=options, upload_key=upload_key, **security)
