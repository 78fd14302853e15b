"""Files that are read again: when they are, and what happens when they make no sense."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unspool.access.files import WatchedFile, read_file
from unspool.errors import InvalidRequestError, LocalFileError


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def number(text: str, shown: str) -> int:
    """Parse a file that holds a number."""
    try:
        return int(text)
    except ValueError:
        raise InvalidRequestError(f"{shown}: line 1: no number") from None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file that holds 1."""
    path = tmp_path / "number"
    path.write_text("1")
    return path


@pytest.fixture
def watching(file: Path) -> tuple[WatchedFile[int], Callable[[], int]]:
    """Return the file watched, and what looks at it a second later."""
    clock = Hand()
    watched = WatchedFile(file, number, "numbers", clock)

    def a_second_later() -> int:
        clock.now += 1
        return watched.look()

    return watched, a_second_later


def test_a_change_is_read_when_it_is_at_rest(file: Path, watching: tuple[WatchedFile[int], Callable[[], int]]) -> None:
    """One look sees a change, the next reads it if it is still the same; a file that keeps changing is left alone."""
    watched, a_second_later = watching
    assert a_second_later() == 1
    for text in ("22", "333", "4444"):
        file.write_text(text)
        assert a_second_later() == 1
    assert watched.version == 0
    assert a_second_later() == 4444
    assert watched.version == 1
    assert a_second_later() == 4444
    assert watched.version == 1


def test_a_change_of_some_time_ago_counts_for_the_first_look(file: Path) -> None:
    """A server that had nothing to do for a while decides about its first call by what is in the file by then."""
    clock, wall_clock = Hand(), Hand()
    watched = WatchedFile(file, number, "numbers", clock, wall_clock)
    file.write_text("22")
    clock.now, wall_clock.now = 3600.0, file.stat().st_ctime + 0.9
    assert watched.look() == 1
    file.write_text("333")
    clock.now, wall_clock.now = 7200.0, file.stat().st_ctime + 1.1
    assert watched.look() == 333


def test_between_two_looks_nothing_is_read(file: Path) -> None:
    """Within a second the file is not even looked at."""
    clock = Hand()
    watched = WatchedFile(file, number, "numbers", clock)
    file.unlink()
    clock.now = 0.9
    assert watched.look() == 1
    assert watched._changed is None


def test_a_file_that_makes_no_sense_changes_nothing(
    file: Path, watching: tuple[WatchedFile[int], Callable[[], int]], caplog: pytest.LogCaptureFixture
) -> None:
    """What was read last stays; the file is logged and counted once for each change, and read when it is whole again."""
    watched, a_second_later = watching
    file.write_text("nonsense")
    assert [a_second_later() for _ in range(5)] == [1] * 5
    assert watched.refused == 1
    file.unlink()
    assert [a_second_later() for _ in range(5)] == [1] * 5
    assert (watched.refused, watched.version) == (2, 0)
    said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert [("no number" in line, "no such file" in line) for line in said] == [(True, False), (False, True)]
    file.write_text("5")
    a_second_later()
    assert a_second_later() == 5


def test_it_is_read_at_once_if_wanted(file: Path, watching: tuple[WatchedFile[int], Callable[[], int]]) -> None:
    """A reload does not wait, and says whether it was accepted."""
    watched, _ = watching
    file.write_text("6")
    assert watched.reload()
    assert (watched.look(), watched.version) == (6, 1)
    file.write_text("")
    assert not watched.reload()
    assert (watched.look(), watched.version) == (6, 1)


def test_what_anybody_can_write_is_refused(file: Path) -> None:
    """A file that others may write lets anybody in, so it is not believed."""
    file.chmod(0o646)
    with pytest.raises(InvalidRequestError, match="chmod o-w"):
        read_file(file)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, one that is too large and one that is not text are named, the last with its line."""
    with pytest.raises(LocalFileError, match="no such file"):
        WatchedFile(tmp_path / "none", number, "numbers")
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, (16 << 20) + 1)
    with pytest.raises(InvalidRequestError, match="larger than 16 MiB"):
        read_file(large)
    (tmp_path / "odd").write_bytes(b"1\n\xff\n")
    with pytest.raises(InvalidRequestError, match="line 2 is not UTF-8"):
        read_file(tmp_path / "odd")
