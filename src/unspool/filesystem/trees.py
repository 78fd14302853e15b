"""Downloads and uploads of several files: a directory by the tree command, all else file by file."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.utils import isfilelike

from unspool.client.treeresults import TreeResult
from unspool.client.writeresults import PutTreeResult
from unspool.core.counted import counted
from unspool.errors import IncompleteTreeError, NotFoundError
from unspool.filesystem.paths import file_of, server_of
from unspool.filesystem.writes import is_create

if TYPE_CHECKING:
    from unspool.filesystem.hosts import Hosts

_MAGIC = frozenset("*?[")


class Trees(AsyncFileSystem):
    """The methods that download and upload local files; see `UnspoolFileSystem`."""

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
        _check(rpath, result)
        return None

    async def _put_file(
        self, lpath: Any, rpath: str, mode: str = "overwrite", callback: Callback = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        """Upload a file as `Client.put` does: it resumes, is verified, and appears whole. For a directory, do nothing.

        With the mode "create", the server must have no file of that name, unless an earlier `put` of this very file made it.
        """
        if await asyncio.to_thread(os.path.isdir, lpath):
            return
        host, name = file_of(self._strip_protocol(rpath))
        async with self._hosts.call(host) as client:
            await client.put(lpath, name, if_absent=is_create(mode), progress=_progress(callback))

    async def _put(
        self,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        mode: str = "overwrite",
        **more: Any,
    ) -> Any:
        """Upload files. A whole directory (`recursive=True`) is a tree: files that are there already are not sent.

        The callback of a tree counts bytes, that of other uploads counts files.

        Raises:
            IncompleteTreeError: some files of a tree failed, or cannot be uploaded (a link that leads outside, a name that no
                server takes). The others are there, and the next call sends the rest.
        """
        whole = recursive and maxdepth is None and isinstance(lpath, str) and not _MAGIC & set(lpath)
        if not whole or isinstance(rpath, list) or not await asyncio.to_thread(os.path.isdir, lpath):
            return await super()._put(
                lpath, rpath, recursive=recursive, callback=callback, maxdepth=maxdepth, mode=mode, **more
            )
        there = self._strip_protocol(rpath)
        if (rpath.endswith("/") or await self._isdir(rpath)) and not lpath.endswith("/"):
            there = f"{there}/{Path(lpath).name}"
        host, prefix = server_of(there)
        async with self._hosts.call(host) as client:
            result = await client.put_tree(lpath, prefix, if_absent=is_create(mode), progress=_progress(callback))
        _check(lpath, result)
        if left_out := [one for one in result.omitted if one.reason != "RESERVED"]:
            raise IncompleteTreeError(
                f"{lpath}: {counted(sum(one.count for one in left_out), 'name')} cannot be uploaded, "
                f"first {left_out[0].name} ({left_out[0].reason})"
            )
        return None


def _check(path: str, result: TreeResult | PutTreeResult) -> None:
    """Raise IncompleteTreeError if a file failed."""
    if result.failures:
        first = result.failures[0]
        raise IncompleteTreeError(f"{path}: {result.failed} of {result.files} files failed, first {first.name}: {first.error}")


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
