"""What is there: one file, one directory, or all that is below it with one request."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from fsspec.asyn import AsyncFileSystem

from unspool.core.model import FileInfo, Page
from unspool.errors import NotFoundError
from unspool.filesystem.paths import described, directory, server_of

if TYPE_CHECKING:
    from unspool.filesystem.hosts import Hosts


class Listings(AsyncFileSystem):
    """The methods that look; see `UnspoolFileSystem`."""

    _hosts: Hosts

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        host, name = server_of(path)
        if name:
            try:
                async with self._hosts.call(host) as client:
                    return described(path, await client.stat(name))
            except NotFoundError:
                if not await self._isdir(path):
                    raise
        else:
            await self._first_page(path)  # is there a server?
        return directory(path)

    async def _isfile(self, path: str) -> bool:
        try:
            return str((await self._info(path))["type"]) == "file"
        except NotFoundError:  # fsspec would say of any error that there is no file
            return False

    async def _isdir(self, path: str) -> bool:
        path = self._strip_protocol(path)
        try:
            page = await self._first_page(path)
        except NotFoundError:
            return False
        return not _is_of_a_file(page.files, server_of(path)[1])

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        host, files, prefixes = await self._list(path, recursive=False)
        found = [described(f"{host}/{info.name}", info) for info in files]
        found += [directory(f"{host}/{prefix.removesuffix('/')}") for prefix in prefixes]
        found.sort(key=lambda one: str(one["name"]))
        return found if detail else [one["name"] for one in found]

    async def _find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        *,
        detail: bool = False,
        **more: Any,
    ) -> Any:
        path = self._strip_protocol(path)
        if maxdepth is not None:
            return await super()._find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **more)
        try:
            host, files, prefixes = await self._list(path, recursive=True)
        except NotFoundError:
            return {} if detail else []
        found = {f"{host}/{info.name}": described(f"{host}/{info.name}", info) for info in files}
        if withdirs and path not in found:
            below = {path, *(f"{host}/{prefix.removesuffix('/')}" for prefix in prefixes)}
            for name in (*found, *below):
                parent = name
                while len(parent := parent.rpartition("/")[0]) > len(path) and parent not in below:
                    below.add(parent)
            found.update((name, directory(name)) for name in below)
        return dict(sorted(found.items())) if detail else sorted(found)

    async def _list(self, path: str, *, recursive: bool) -> tuple[str, list[FileInfo], list[str]]:
        """Return the server, and the files and prefixes below a path."""
        host, name = server_of(path)
        files: list[FileInfo] = []
        prefixes: list[str] = []
        async with self._hosts.call(host) as client, aclosing(client.pages(name, recursive=recursive)) as pages:
            async for page in pages:
                files += page.files
                prefixes += page.prefixes
        return host, files, prefixes

    async def _first_page(self, path: str) -> Page:
        """Return the first page, of one entry, of a listing of one level. It is empty for an empty directory."""
        host, name = server_of(path)
        async with self._hosts.call(host) as client, aclosing(client.pages(name, page_size=1)) as pages:
            return await anext(pages, Page())


def _is_of_a_file(files: tuple[FileInfo, ...], name: str) -> bool:
    """Whether a listing of `name` has the file of this name: then there is no such directory."""
    return any(info.name == name for info in files)
