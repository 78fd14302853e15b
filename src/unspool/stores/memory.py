"""A store in memory: the reference implementation of the contract, and a store for tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from itertools import zip_longest

from unspool.core.checksum import crc32c
from unspool.core.counted import counted
from unspool.core.model import NO_ATTRIBUTES, Attributes, FileInfo, ListRequest, NamedSpan, Page, Span
from unspool.core.names import check_name, check_prefix
from unspool.errors import FileChangedError, NotAFileError, NotFoundError, UnspoolError
from unspool.stores.base import RunSize, SmallFile
from unspool.stores.revisions import check_revision


class MemoryStore:
    """Files in a dict. `put` and `remove` may be called at any time, also while a file is being read.

    Args:
        files: the initial files, by name.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self._files: dict[str, tuple[FileInfo, bytes]] = {}
        self._revisions = 0
        for name, data in (files or {}).items():
            self.put(name, data)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {counted(len(self._files), 'file')}>"

    def put(self, name: str, data: bytes, attributes: Attributes = NO_ATTRIBUTES) -> FileInfo:
        """Create or replace a file, at a new revision, with `attributes`."""
        check_name(name)
        self._revisions += 1
        info = FileInfo(name, len(data), f"m{self._revisions}", attributes, crc32c(data))
        self._files[name] = (info, data)
        return info

    def remove(self, name: str) -> None:
        """Remove the file."""
        del self._files[name]

    def revision_of(self, name: str) -> str | None:
        """Return the file's current revision, or None if there is no such file."""
        entry = self._files.get(name)
        return entry[0].revision if entry else None

    async def stat(self, name: str) -> FileInfo:
        """See `Store.stat`."""
        return self._find(name)[0]

    async def open(self, name: str, revision: str | None = None) -> _MemoryFile:
        """See `Store.open`."""
        info, data = self._find(name)
        check_revision(info, revision)
        return _MemoryFile(self, info, data)

    async def read_small(self, names: Sequence[str], most_bytes: int, known: Sequence[str | None] = ()) -> Sequence[SmallFile]:
        """See `Store.read_small`."""
        answers: list[SmallFile] = []
        for name, revision in zip_longest(names, known):
            try:
                info, data = self._find(name)
            except UnspoolError as error:
                answers.append(error)
                continue
            if info.revision == revision:
                data = b""
            if len(data) > most_bytes:
                break
            most_bytes -= len(data)
            answers.append((info, data, True))
        return answers

    async def read_spans(self, wanted: Sequence[NamedSpan], most_bytes: int) -> Sequence[SmallFile]:
        """See `Store.read_spans`."""
        answers: list[SmallFile] = []
        for name, start, length in wanted:
            try:
                info, data = self._find(name)
            except UnspoolError as error:
                answers.append(error)
                continue
            data = data[start : start + length]
            if len(data) > most_bytes:
                break
            most_bytes -= len(data)
            answers.append((info, data, True))
        return answers

    def _find(self, name: str) -> tuple[FileInfo, bytes]:
        check_name(name)
        if name not in self._files:
            if any(other.startswith(name + "/") for other in self._files):
                raise NotAFileError(f"{name}: is a directory", name=name)
            raise NotFoundError(f"{name}: no such file", name=name)
        return self._files[name]

    async def list(self, request: ListRequest) -> AsyncGenerator[Page, None]:
        """See `Store.list`."""
        check_prefix(request.prefix)
        assert request.page_size is not None
        directory = request.prefix.removesuffix("/")
        if directory in self._files:
            yield Page(files=(self._files[directory][0],))
            return
        below = f"{directory}/" if directory else ""
        if below and not any(name.startswith(below) for name in self._files):
            raise NotFoundError(f"{directory}: no such file or directory", name=directory)
        files: list[FileInfo] = []
        prefixes: dict[str, None] = {}
        for name, (info, _) in list(self._files.items()):
            if not name.startswith(below):
                continue
            first, slash, _ = name[len(below) :].partition("/")
            if slash and not request.recursive:
                prefixes[f"{below}{first}/"] = None
            else:
                files.append(info)
        entries: list[FileInfo | str] = [*prefixes, *files]
        for at in range(0, len(entries), request.page_size):
            page = entries[at : at + request.page_size]
            yield Page(
                files=tuple(entry for entry in page if isinstance(entry, FileInfo)),
                prefixes=tuple(entry for entry in page if isinstance(entry, str)),
            )

    async def aclose(self) -> None:
        """See `Store.aclose`."""


class _MemoryFile:
    """See `OpenFile`."""

    def __init__(self, store: MemoryStore, info: FileInfo, data: bytes) -> None:
        self.info = info
        self._store = store
        self._data = data

    async def read(self, span: Span, run_size: RunSize) -> AsyncGenerator[bytes, None]:
        """See `OpenFile.read`."""
        start = span.start
        while start < span.stop:
            if self._store.revision_of(self.info.name) != self.info.revision:
                raise FileChangedError(
                    f"{self.info.name}: changed while it was read, at byte {start}", name=self.info.name, offset=start
                )
            stop = min(start + run_size(start), span.stop)
            yield self._data[start:stop]
            start = stop

    async def steady(self) -> bool:
        """See `OpenFile.steady`. Bytes are replaced and never changed."""
        return True

    async def aclose(self) -> None:
        """See `OpenFile.aclose`."""
