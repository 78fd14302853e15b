"""What a file system that only reads says to those who write."""

from __future__ import annotations

from typing import Any, NoReturn

from unspool.errors import UnsupportedError


def refuse(path: object) -> NoReturn:
    """Raise the error for whatever would change something on the server."""
    raise UnsupportedError(
        f"{path}: unspool:// is read-only: nothing can be written, made, moved or deleted there; write to another file system",
        name=str(path),
    )


class ReadOnly:
    """The methods of fsspec's file systems that write. Each raises UnsupportedError."""

    async def _pipe_file(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        refuse(path)

    async def _put_file(self, lpath: Any, rpath: Any, *_: Any, **__: Any) -> NoReturn:
        refuse(rpath)

    async def _cp_file(self, path1: Any, path2: Any, *_: Any, **__: Any) -> NoReturn:
        refuse(path2)

    async def _mv_file(self, path1: Any, path2: Any, *_: Any, **__: Any) -> NoReturn:
        refuse(path1)

    async def _rm_file(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        refuse(path)

    async def _rm(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        refuse(path)

    async def _mkdir(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        refuse(path)

    async def _makedirs(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        refuse(path)

    def rmdir(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise UnsupportedError."""
        refuse(path)

    def touch(self, path: Any, *_: Any, **__: Any) -> NoReturn:
        """Raise UnsupportedError."""
        refuse(path)
