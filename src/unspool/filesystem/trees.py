"""Downloads of several files: a directory by the tree command, all else file by file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.utils import isfilelike

from unspool.errors import IncompleteTreeError, NotFoundError
from unspool.filesystem.paths import server_of

if TYPE_CHECKING:
    from unspool.filesystem.hosts import Hosts

_MAGIC = frozenset("*?[")


class Trees(AsyncFileSystem):
    """The methods that download; see `UnspoolFileSystem`."""

    _hosts: Hosts

    async def _get_file(self, rpath: str, lpath: Any, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        """Download a file as `Client.get` does: it resumes, is verified, and appears whole. For a directory, make one."""
        rpath = self._strip_protocol(rpath)
        host, name = server_of(rpath)
        to_a_path = not isfilelike(lpath)
        if not name or (to_a_path and await asyncio.to_thread(os.path.isdir, lpath)):
            if not await self._isdir(rpath):
                raise IsADirectoryError(f"{lpath} is a directory: name the file that {rpath} should become")
            await asyncio.to_thread(os.makedirs, lpath, exist_ok=True)
            return
        try:
            async with self._hosts.call(host) as client:
                await client.get(name, lpath, progress=_progress(callback))
        except NotFoundError:
            if not to_a_path or not await self._isdir(rpath):
                raise
            await asyncio.to_thread(os.makedirs, lpath, exist_ok=True)

    async def _get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **more: Any,
    ) -> Any:
        """Download files. A whole directory (`recursive=True`) is a tree: files that are there already are not fetched.

        The callback of a tree counts bytes, that of other downloads counts files.

        Raises:
            IncompleteTreeError: some files of a tree failed. The others are complete, and the next call fetches the rest.
        """
        whole = recursive and maxdepth is None and isinstance(rpath, str) and not _MAGIC & set(rpath)
        if not whole or isinstance(lpath, list) or not await self._isdir(rpath):
            return await super()._get(rpath, lpath, recursive=recursive, callback=callback, maxdepth=maxdepth, **more)
        host, prefix = server_of(self._strip_protocol(rpath))
        there = await asyncio.to_thread(_destination, str(lpath), rpath, self._strip_protocol(rpath).rpartition("/")[2])
        async with self._hosts.call(host) as client:
            # No record: nothing but the files is to be in a directory that other programs use.
            result = await client.get_tree(prefix, there, record=False, progress=_progress(callback))
        if result.failures:
            first = result.failures[0]
            raise IncompleteTreeError(
                f"{rpath}: {result.failed} of {result.files} files failed, first {first.name}: {first.error}"
            )
        return None


def _destination(lpath: str, rpath: str, last: str) -> Path:
    """Return the local directory of a tree as fsspec has it: below `lpath` if that is there, unless `rpath` ends in `/`."""
    lpath = lpath.removeprefix("file://")
    below = (lpath.endswith("/") or Path(lpath).is_dir()) and not rpath.endswith("/")
    there = Path(lpath).expanduser() / (last if below else "")
    there.parent.mkdir(parents=True, exist_ok=True)
    return there


def _progress(callback: Callback) -> Any:
    """Return a progress function that tells a callback of fsspec's."""

    def progress(done: int, total: int | None) -> None:
        if total is not None:
            callback.set_size(total)
        callback.absolute_update(done)

    return progress
