"""Files of fsspec's that are open for writing.

Rule 1: a file gets its name when it is closed, whole, or not at all. One that is left by an exception, or never closed, is
        discarded; the name keeps what it had.
Rule 2: a file of at most `block_size` bytes is uploaded when it is closed. A larger one is uploaded while it is written, and
        `write` waits when the server is slower. So the memory of a file is bounded.
Rule 3: in a transaction of fsspec's, closing a file does not give it its name; the end of the transaction does.
"""

from __future__ import annotations

import asyncio
import io
import warnings
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, cast

from fsspec.asyn import sync
from fsspec.spec import AbstractBufferedFile

from unspool.client.feed import Feed
from unspool.client.writing import GIVING_UP

if TYPE_CHECKING:
    from unspool.filesystem.filesystem import UnspoolFileSystem


class WrittenFile(AbstractBufferedFile):
    """A file that is being written to a server.

    Args:
        fs: the file system.
        path: `HOST:PORT/NAME`.
        mode: "wb", or "xb" if the server must have no file of that name.
        block_size: a file that has more bytes is uploaded while it is written.
        autocommit: whether closing it gives it its name. Otherwise `commit` does.
        kwargs: ignored, as fsspec does.
    """

    def __init__(
        self,
        fs: UnspoolFileSystem,
        path: str,
        mode: str = "wb",
        *,
        block_size: int | None = None,
        autocommit: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(fs, path, mode, block_size=block_size, autocommit=autocommit, **kwargs)
        self._absent = mode == "xb"
        self._feed: Feed | None = None
        self._upload: asyncio.Task[None] | None = None
        self._discarded = False

    # What fsspec calls

    def _upload_chunk(self, final: bool = False) -> bool:
        """Upload what was written since the last call; at the end of a small file, all of it."""
        if self._feed is None and not final:
            self._feed = Feed()
            self._upload = sync(self.fs.loop, self.fs._begin_upload, self.path, self._feed, absent=self._absent)
        if self._feed is not None and not self._feed.put(self.buffer.getvalue()):
            self._wait()
        if final and self.autocommit:
            self.commit()
        return self._feed is not None  # or else the buffer is still wanted

    def commit(self) -> None:
        """Give the file its name, when all of it has been written.

        Raises:
            AlreadyExistsError: the server has a file of that name, and the mode was "xb".
            UnspoolError: see `Client.put`. The name has what it had.
        """
        if self._discarded:
            return
        if not self.closed and not self.forced:
            self.close()
        if self._feed is None:
            mode = "create" if self._absent else "overwrite"
            self.fs.pipe_file(self.path, self.buffer.getvalue(), mode=mode)
        else:
            self._feed.finish()
            self._wait()

    def discard(self) -> None:
        """Give up the file. Nothing of it is left."""
        self._discarded = True
        self.closed = True
        if self._feed is not None and self._upload is not None:
            self._feed.abort()  # so the upload fails, and has the server remove what it has
            with suppress(RuntimeError):  # the loop is closed
                self.fs.loop.call_soon_threadsafe(self.fs.loop.call_later, GIVING_UP, self._upload.cancel)

    # How it ends

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        if self.closed:
            return
        self.discard()
        # Closing would wait for the server, perhaps in the very thread that talks to it.
        warnings.warn(f"{self.path}: the file was never closed, so it was not written", RuntimeWarning, stacklevel=2)

    def _wait(self) -> None:
        """Wait for the end of the upload. Raises what ended it."""
        assert self._upload is not None
        try:
            sync(self.fs.loop, _outcome, self._upload)
        except BaseException:
            self.discard()
            raise


async def _outcome(upload: asyncio.Task[None]) -> None:
    await asyncio.shield(upload)


class WrittenText(io.TextIOWrapper):
    """A file that is written as text. One that is left by an exception is discarded.

    Args:
        file: takes the bytes.
        encoding, errors, newline: see `io.TextIOWrapper`.
    """

    def __init__(self, file: WrittenFile | Compressed, **more: Any) -> None:
        super().__init__(cast("IO[bytes]", file), **more)
        self._file = file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is not None:
            self._file.discard()
        super().__exit__(kind, error, traceback)


class Compressed(io.BufferedIOBase):
    """A file that is compressed as it is written. Closing it closes the file below, which compressors leave open.

    Args:
        compressor: of fsspec's, writes to `below`.
        below: the file.
    """

    def __init__(self, compressor: IO[bytes], below: WrittenFile) -> None:
        self._compressor = compressor
        self._below = below

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any, /) -> int:
        """Write bytes."""
        return self._compressor.write(data)

    def close(self) -> None:
        """Write what the compressor has kept, and close the file."""
        if not self.closed:
            super().close()
            self._compressor.close()
            self._below.close()

    def discard(self) -> None:
        """Give up the file."""
        self._below.discard()
        super().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
