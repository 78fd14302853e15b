"""The checksums that a server remembers, and their limits."""

from __future__ import annotations

import pytest

from unspool.answers import checksums
from unspool.answers.checksums import Checksums
from unspool.core.checksum import crc32c
from unspool.core.model import Block, FileInfo


def _learn(table: Checksums, name: str, data: bytes = b"abc") -> FileInfo:
    info = FileInfo(name, len(data), "r1")
    table.record(info, Block(0, data, crc32c(data)))
    return info


def test_what_went_out_whole_is_known() -> None:
    """After all bytes of a file were sent, its checksum is known, for that revision only."""
    table = Checksums()
    info = _learn(table, "f")
    assert table.added_to(info).crc32c == crc32c(b"abc")
    assert table.added_to(FileInfo("f", 3, "r2")).crc32c is None


def test_an_empty_file_needs_no_learning() -> None:
    """The checksum of an empty file is known from the start."""
    assert Checksums().added_to(FileInfo("f", 0, "r1")).crc32c == 0


def test_the_one_longest_unused_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many revisions are known, the least recently used one is forgotten."""
    monkeypatch.setattr(checksums, "_KNOWN", 2)
    table = Checksums()
    first, second = _learn(table, "first"), _learn(table, "second")
    assert table.added_to(first).crc32c is not None  # used: now the second is the older one
    _learn(table, "third")
    assert table.added_to(first).crc32c is not None
    assert table.added_to(second).crc32c is None


def test_what_is_known_is_not_learned_again() -> None:
    """Sending a file whose checksum is known keeps nothing more in memory."""
    table = Checksums()
    info = _learn(table, "f")
    _learn(table, "f")
    assert list(table.gaps(FileInfo("g", 3, "r1")))  # for an unknown file, the whole file is a gap
    assert not any(key == (info.name, info.revision) for key in table._learning)
