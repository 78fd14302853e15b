"""What changes something on a server: each file appears whole, or the name has what it had."""

from __future__ import annotations

import asyncio
import io
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

from fsspec.asyn import AsyncFileSystem, sync
from fsspec.compression import compr
from fsspec.core import get_compression

from unspool.client.feed import Feed
from unspool.core.counted import counted
from unspool.errors import (
    AlreadyExistsError,
    IncompleteTreeError,
    InvalidRequestError,
    NotAFileError,
    NotFoundError,
    UnsupportedError,
)
from unspool.filesystem.paths import file_of, server_of
from unspool.filesystem.written import Compressed, WrittenFile, WrittenText

if TYPE_CHECKING:
    from unspool.filesystem.hosts import Hosts

_DELETIONS_AT_ONCE = 8
"""Most files that `mv` deletes at the same time, as `Client.delete_tree` does."""

_TEXT = ("encoding", "errors", "newline")


def is_create(mode: str) -> bool:
    """Return whether a mode of `put` and `pipe` allows no file of that name to be there.

    Raises:
        InvalidRequestError: it is not one of fsspec's modes.
    """
    if mode not in {"create", "overwrite"}:
        raise InvalidRequestError(f"mode {mode!r}: it is 'create' or 'overwrite'")
    return mode == "create"


class Writes(AsyncFileSystem):
    """The methods that write, but for those that upload local files; see `UnspoolFileSystem`."""

    _hosts: Hosts

    # Files

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Write a file. With the mode "create", the server must have none of that name."""
        host, name = file_of(self._strip_protocol(path))
        async with self._hosts.call(host) as client:
            await client.put(io.BytesIO(value), name, if_absent=is_create(mode))

    async def _begin_upload(self, path: str, feed: Feed, *, absent: bool) -> asyncio.Task[None]:
        """Begin to upload what comes through a feed. The task ends when the file has its name."""
        host, name = file_of(path)

        async def upload() -> None:
            try:
                async with self._hosts.hold(host) as client:
                    await client.put(feed, name, if_absent=absent)
            finally:
                feed.close()

        task = asyncio.create_task(upload())
        # Of a file that is given up nobody asks how it ended, and at the interpreter's end it ends with an error.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return task

    def open(
        self, path: str, mode: str = "rb", block_size: int | None = None, compression: str | None = None, **more: Any
    ) -> Any:
        """Open a file, see fsspec. One that is written gets its name when it is closed; see `WrittenFile`.

        Raises:
            UnsupportedError: the mode is "ab". A file is written as a whole.
        """
        if "r" in mode:
            return super().open(path, mode, block_size=block_size, compression=compression, **more)
        text = {key: more.pop(key) for key in _TEXT if key in more}
        file: Any = super().open(path, mode.replace("t", "").replace("b", "") + "b", block_size=block_size, **more)
        if compression is not None:
            file = Compressed(compr[get_compression(file.path, compression)](file, mode=mode[0]), file)
        return file if "b" in mode else WrittenText(file, **text)

    def _open_to_write(self, path: str, mode: str, block_size: int | None, **more: Any) -> WrittenFile:
        if mode not in {"wb", "xb"}:
            raise UnsupportedError(f"{path}: mode {mode!r}: a file is written as a whole, with mode 'wb' or 'xb'", name=path)
        file_of(path)
        if mode == "xb" and self.isfile(path):  # it may appear later, too: the server looks again at the end
            raise AlreadyExistsError(f"{path}: there is a file of this name", name=path)
        return WrittenFile(self, path, mode, block_size=block_size, **more)

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """Write an empty file. With `truncate=False`, only if there is none.

        Raises:
            UnsupportedError: there is one, and it is not to be truncated: nothing sets only its time.
        """
        try:
            self.pipe_file(path, b"", mode="overwrite" if truncate else "create")
        except AlreadyExistsError:
            raise UnsupportedError(f"{path}: is there, and nothing sets only the time of a file", name=path) from None

    async def _cp_file(self, path1: str, path2: str, copied: dict[str, str] | None = None, **_: Any) -> None:
        """Copy a file, through a temporary file on this machine: servers do not copy. For a directory, do nothing.

        The path and the revision that was copied are added to `copied`.
        """
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        host, name = server_of(path1)
        to, new = file_of(path2)
        with TemporaryDirectory(prefix="unspool-copy-") as directory:
            copy = Path(directory) / "copy"
            try:
                async with self._hosts.call(host) as client:
                    got = await client.get(name, copy)
            except (NotFoundError, NotAFileError):
                if await self._isdir(path1):
                    return
                raise
            async with self._hosts.call(to) as client:
                await client.put(copy, new)
        if copied is not None and got.revision is not None:
            copied[path1] = got.revision

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **_: Any) -> None:
        """Copy files, and then delete each at the revision that was copied: it is not atomic, and what changed meanwhile stays.

        Raises:
            FileChangedError: a file was replaced after it was copied. Its old bytes are at the new name, too.
        """
        if path1 == path2:
            return
        copied: dict[str, str] = {}
        self.copy(path1, path2, recursive=recursive, maxdepth=maxdepth, on_error="raise", copied=copied)
        sync(self.loop, self._rm_copied, copied)

    async def _rm_copied(self, copied: dict[str, str]) -> None:
        at_once = asyncio.Semaphore(_DELETIONS_AT_ONCE)

        async def delete(path: str, revision: str) -> None:
            async with at_once:
                with suppress(NotFoundError):  # somebody else has moved or deleted it
                    await self._rm_file(path, revision=revision)

        for failed in await asyncio.gather(*(delete(*one) for one in copied.items()), return_exceptions=True):
            if failed is not None:
                raise failed

    # Directories: a file's name makes those that it is in

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Do nothing, as where files are in buckets: a directory is there when it has a file."""
        server_of(self._strip_protocol(path))

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing, as `mkdir`."""
        server_of(self._strip_protocol(path))

    # Deleting

    async def _rm_file(self, path: str, revision: str | None = None, **_: Any) -> None:
        """Delete a file. If `revision` is given, only while the file is at it."""
        host, name = file_of(self._strip_protocol(path))
        async with self._hosts.call(host) as client:
            await client.delete(name, if_revision=revision)

    async def _rm(
        self, path: Any, recursive: bool = False, batch_size: int | None = None, maxdepth: int | None = None, **more: Any
    ) -> None:
        """Delete files. With `recursive`, all files below directories too, each as it was listed; the directories stay.

        Raises:
            IncompleteTreeError: some files of a directory could not be deleted, or changed meanwhile.
            InvalidRequestError: the directory is the whole server.
        """
        if not recursive or maxdepth is not None:
            await super()._rm(path, recursive=recursive, batch_size=batch_size, maxdepth=maxdepth, **more)
            return
        for one in await self._expand_path(path):
            if await self._isdir(one):
                await self._rm_tree(one)
            else:
                await self._rm_file(one)

    async def _rm_tree(self, path: str) -> None:
        host, prefix = server_of(self._strip_protocol(path))
        if not prefix:
            raise InvalidRequestError(f"{path}: is all that the server has: name what is to be deleted of it")
        async with self._hosts.call(host) as client:
            result = await client.delete_tree(prefix)
        if result.failed:
            first = result.failures[0]
            said = f"{path}: {result.failed} of {counted(result.files, 'file')} were not deleted: {first.name}: {first.error}"
            raise IncompleteTreeError(said)

    # What is not there

    def rmdir(self, path: str, **_: Any) -> NoReturn:
        """Raise UnsupportedError."""
        raise UnsupportedError(f"{path}: directories stay; only files can be deleted at unspool://", name=str(path))
