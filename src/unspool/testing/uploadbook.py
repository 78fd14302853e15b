"""What a server knows of uploads, in memory: the rules of `WriteFile` in a hundred lines, for tests.

Unlike the ingesters, it has segments of a few bytes, a disk that may be damaged, and restarts that lose what was not durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from unspool.core.checksum import crc32c
from unspool.core.condition import check_condition, check_present
from unspool.core.model import Block, FileInfo, Span
from unspool.core.uploading import (
    Condition,
    DeleteRequest,
    GoodSpan,
    NewFile,
    UploadAnswer,
    UploadCommit,
    UploadCommitted,
    UploadOpen,
    UploadOpened,
    UploadProgress,
    UploadRefused,
    WrittenFile,
)
from unspool.errors import BlockCorruptError, FileMismatchError, SequenceError, UnspoolError
from unspool.stores import MemoryStore


@dataclass(slots=True)
class Staged:
    """An upload that is not committed: its bytes, and which of them are good."""

    data: bytearray = field(default_factory=bytearray)
    good: list[Span] = field(default_factory=list)
    durable: int = 0

    def add(self, block: Block) -> None:
        """Write a block."""
        self.data.extend(bytes(max(block.end - len(self.data), 0)))
        self.data[block.offset : block.end] = block.data
        self.good = _merged([*self.good, Span(block.offset, block.end)])

    def discard(self, spans: Sequence[Span]) -> None:
        """Forget the bytes of some spans."""
        for one in spans:
            self.good = [part for span in self.good for part in _without(span, one)]
        self.durable = min(self.durable, self.good[0].stop if self.good and not self.good[0].start else 0)

    def crc32c(self, span: Span) -> int:
        """Return the checksum of a span."""
        return crc32c(bytes(self.data[span.start : span.stop]))

    @property
    def received(self) -> int:
        """Number of good bytes."""
        return sum(span.length for span in self.good)


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if merged and span.start <= merged[-1].stop:
            merged[-1] = Span(merged[-1].start, max(merged[-1].stop, span.stop))
        else:
            merged.append(span)
    return merged


def _without(span: Span, cut: Span) -> list[Span]:
    parts = [(span.start, min(span.stop, cut.start)), (max(span.start, cut.stop), span.stop)]
    return [Span(start, stop) for start, stop in parts if start < stop]


class UploadBook:
    """The uploads of a server, and the store that their files go to.

    Args:
        store: where the files go.
        block_size: largest block that is taken.
        segment: bytes of a segment, in which a mismatch is told.
        sync: after so many bytes, all that were received are durable.
    """

    def __init__(self, store: MemoryStore, *, block_size: int = 100, segment: int = 200, sync: int = 300) -> None:
        self.store = store
        self.block_size = block_size
        self.segment = segment
        self.sync = sync
        self._staged: dict[tuple[bytes, str], Staged] = {}
        self._committed: dict[tuple[bytes, str], FileInfo] = {}

    def abandon(self, upload_id: bytes, name: str) -> None:
        """Forget an upload."""
        self._staged.pop((upload_id, name), None)

    def take(self, staged: Staged, block: Block) -> UploadAnswer:
        """Take a block, or refuse it."""
        if crc32c(block.data) != block.crc32c:
            return UploadRefused(BlockCorruptError(f"the block at {block.offset} is corrupt"), self.opened(staged).good)
        staged.add(block)
        if staged.received - staged.durable >= self.sync:
            staged.durable = staged.received
        return UploadProgress(staged.received, staged.durable)

    def open(self, request: UploadOpen) -> tuple[Staged | None, UploadAnswer]:
        """Begin or continue an upload; return it, and the answer."""
        key = (request.upload_id, request.name)
        if key in self._committed:
            return None, UploadCommitted(self._committed[key])
        if (error := self.unmet(request.name, request.condition)) is not None:
            return None, UploadRefused(error)
        now = self._now(request.name)
        if now is not None and request.crc32c is not None and (now.size, now.crc32c) == (request.size, request.crc32c):
            return None, UploadCommitted(now)
        staged = self._staged.setdefault(key, Staged())
        staged.discard(request.discard)
        return staged, self.opened(staged)

    def opened(self, staged: Staged) -> UploadOpened:
        """Return what there is of an upload."""
        return UploadOpened(tuple(GoodSpan(span, staged.crc32c(span)) for span in staged.good), self.block_size)

    def commit(self, request: UploadOpen, staged: Staged, commit: UploadCommit) -> UploadAnswer:
        """Commit an upload, or refuse to."""
        if staged.good != ([Span(0, commit.size)] if commit.size else []):
            return UploadRefused(SequenceError("bytes are missing"), self.opened(staged).good)
        if crc32c(bytes(staged.data[: commit.size])) != commit.crc32c:
            stops = range(0, commit.size, self.segment)
            segments = [Span(start, min(start + self.segment, commit.size)) for start in stops]
            goods = tuple(GoodSpan(span, staged.crc32c(span)) for span in segments)
            return UploadRefused(FileMismatchError("the whole is not what it should be"), goods)
        if (error := self.unmet(request.name, request.condition)) is not None:
            return UploadRefused(error)
        info = self.store.put(request.name, bytes(staged.data[: commit.size]), request.attributes)
        self._committed[request.upload_id, request.name] = info
        del self._staged[request.upload_id, request.name]
        return UploadCommitted(info)

    def restart(self) -> None:
        """Forget what was not durable, of all uploads."""
        for staged in self._staged.values():
            kept = staged.durable
            staged.good = [Span(span.start, min(span.stop, kept)) for span in staged.good if span.start < kept]

    def unmet(self, name: str, condition: Condition) -> UnspoolError | None:
        """Return the error if a condition is not met."""
        try:
            check_condition(name, condition, self._now(name))
        except UnspoolError as error:
            return error
        return None

    def write_one(self, file: NewFile) -> WrittenFile:
        """Write a small file; return the answer."""
        if crc32c(file.data) != file.crc32c:
            return BlockCorruptError(f"{file.name}: does not match its checksum", name=file.name)
        now = self._now(file.name)
        if now is not None and (now.size, now.crc32c) == (len(file.data), file.crc32c):
            return now
        error = self.unmet(file.name, file.condition)
        return error or self.store.put(file.name, bytes(file.data), file.attributes)

    def delete(self, request: DeleteRequest) -> FileInfo:
        """Delete a file, and return it as it was. Raises the server's error."""
        deleted = check_present(request.name, request.revision, self._now(request.name))
        self.store.remove(request.name)
        return deleted

    def _now(self, name: str) -> FileInfo | None:
        entry = self.store.revision_of(name)
        return None if entry is None else self.store._find(name)[0]
