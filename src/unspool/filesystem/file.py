"""An open file of fsspec's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsspec.asyn import sync
from fsspec.spec import AbstractBufferedFile

from unspool.core.model import FileInfo
from unspool.errors import FileChangedError
from unspool.filesystem.ahead import Ahead

if TYPE_CHECKING:
    from unspool.filesystem.filesystem import UnspoolFileSystem

_LINE = 1 << 16
"""Bytes looked through at once for the end of a line. fsspec takes `block_size`, and copies as much for every line."""


class UnspoolFile(AbstractBufferedFile):
    """A file on a server, open for reading. All its bytes are of the revision that it was opened at.

    Args:
        fs: the file system.
        path: `HOST:PORT/NAME`.
        info: what the file is.
        details: the same, as `fs.info` has it.
        revision: the revision that is wanted; None takes the present one.
        block_size: most bytes to read ahead.
        cache_type: one of fsspec's caches. With "none" only sequential reads are read ahead, see `Ahead`.
        cache_options: of the cache.
        kwargs: kept, and given again when a copy is opened from a pickle.

    Raises:
        FileChangedError: the file is at another revision.
    """

    def __init__(
        self,
        fs: UnspoolFileSystem,
        path: str,
        info: FileInfo,
        details: dict[str, Any],
        *,
        revision: str | None = None,
        block_size: int | None = None,
        cache_type: str = "none",
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if revision not in (None, info.revision):
            raise FileChangedError(
                f"{info.name}: the file changed on the server: revision {revision} was asked for, {info.revision} is there",
                name=info.name,
            )
        self._details = details
        self._revision = info.revision
        self._exact = cache_type != "none"  # the cache "all" reads at once
        kwargs["revision"] = info.revision  # for the copy in another process
        super().__init__(
            fs, path, "rb", block_size=block_size, cache_type=cache_type, cache_options=cache_options, size=info.size, **kwargs
        )
        self._ahead = Ahead(self._fetch, info.size, self.blocksize)

    def _fetch_range(self, start: int, end: int) -> bytes:
        end = min(end, self.size)
        return self._fetch(start, end) if self._exact else self._ahead.read(start, end)

    def _fetch(self, start: int, end: int) -> bytes:
        data: bytes = sync(self.fs.loop, self.fs._cat_file, self.path, start=start, end=end, revision=self._revision)
        return data

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the bytes up to and with the next newline, at most `size` of them if it is given."""
        if size is None or size < 0:
            line: bytes = self.readuntil(b"\n", blocks=_LINE)
            return line
        start = self.tell()
        line = self.read(size)
        line = line[: line.find(b"\n") + 1] or line
        self.seek(start + len(line))
        return line
