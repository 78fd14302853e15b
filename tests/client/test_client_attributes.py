"""A downloaded file gets the server's modification time and executable bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.lab import BLOCK, DATA, NAME, Lab
from unspool.core.model import Attributes
from unspool.errors import LocalFileError, UnreachableError
from unspool.local.partfile import PartFile
from unspool.stores import MemoryStore

TIME = 1_600_000_000_123_456_789


def store(attributes: Attributes = Attributes(TIME, executable=True), data: bytes = DATA) -> MemoryStore:  # noqa: B008 - a value
    """Return a store with one program."""
    made = MemoryStore()
    made.put(NAME, data, attributes)
    return made


def of(path: Path) -> tuple[int | None, bool]:
    """Return the attributes of a local file: the time, if it is the server's, and whether it is executable."""
    status = path.stat()
    return status.st_mtime_ns if status.st_mtime_ns == TIME else None, bool(status.st_mode & 0o100)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, (TIME, True)), ({"times": False}, (None, True)), ({"executable": False}, (TIME, False))],
)
@pytest.mark.parametrize("here", [None, DATA, b"another"])
async def test_a_file_gets_what_was_not_declined(
    tmp_path: Path, options: dict[str, Any], expected: tuple[int | None, bool], here: bytes | None
) -> None:
    """New, replaced and already complete files get the server's attributes, except those that the caller declined."""
    if here is not None:
        (tmp_path / "b.bin").write_bytes(here)
    lab = Lab(store=store(), **options)
    result = await lab.get(tmp_path / "b.bin")
    assert of(tmp_path / "b.bin") == expected
    assert result.bytes_received == (0 if here == DATA else len(DATA))


async def test_a_resumed_file_gets_them_too(tmp_path: Path) -> None:
    """A resumed run receives the attributes again; the journal does not have them."""
    served = store()
    with pytest.raises(UnreachableError):
        await Lab("....x", store=served, budget=0).get(tmp_path / "b.bin")
    assert (await Lab(store=served).get(tmp_path / "b.bin")).resumed_from == 4 * BLOCK
    assert of(tmp_path / "b.bin") == (TIME, True)


async def test_a_file_that_is_whole_but_for_its_name_gets_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If all bytes are here, the request for the checksum brings the attributes."""
    served = store()
    monkeypatch.setattr(PartFile, "commit", fail_to_commit)
    with pytest.raises(LocalFileError):
        await Lab(store=served).get(tmp_path / "b.bin")
    monkeypatch.undo()
    result = await Lab(store=served).get(tmp_path / "b.bin")
    assert (result.bytes_received, result.resumed_from) == (0, len(DATA))
    assert of(tmp_path / "b.bin") == (TIME, True)


def fail_to_commit(*_: object, **__: object) -> None:
    """Fail as a disk does at the last moment."""
    raise LocalFileError("the disk is broken")


async def test_a_file_that_has_them_is_not_touched(tmp_path: Path) -> None:
    """A second run changes nothing, not even the change time."""
    served = store()
    await Lab(store=served).get(tmp_path / "b.bin")
    before = (tmp_path / "b.bin").stat()
    await Lab(store=served).get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").stat().st_ctime_ns == before.st_ctime_ns


async def test_what_a_user_made_executable_stays_so(tmp_path: Path) -> None:
    """A replaced file keeps its permissions, whether or not the file on the server is executable."""
    (tmp_path / "b.bin").write_bytes(b"old")
    (tmp_path / "b.bin").chmod(0o755)
    await Lab(store=store(Attributes(TIME, executable=False))).get(tmp_path / "b.bin")
    assert of(tmp_path / "b.bin") == (TIME, True)
    await Lab(store=store(Attributes(TIME, executable=False))).get(tmp_path / "new.bin")
    assert of(tmp_path / "new.bin") == (TIME, False)
