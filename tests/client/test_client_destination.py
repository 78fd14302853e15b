"""Existing files at the destination: kept if they are the server's file, replaced only at the end and if allowed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from client.lab import BLOCK, DATA, JOURNAL, NAME, NEW, PART, Lab, WithoutChecksum, names_in
from contract.partfile_contract import part_at
from unspool.client.events import Event, Started, TransferEnded
from unspool.errors import BusyError, DestinationExistsError, LocalFileError, UnreachableError


@pytest.mark.parametrize("overwrite", [False, True])
async def test_a_finished_file_is_success_at_once(tmp_path: Path, overwrite: bool) -> None:  # noqa: FBT001 - a parameter
    """A destination that has the server's bytes is not changed, and no byte is fetched."""
    lab = Lab(overwrite=overwrite)
    await lab.get(tmp_path / "b.bin")
    before = (tmp_path / "b.bin").stat()
    again = Lab(store=lab.store, overwrite=overwrite)
    result = await again.get(tmp_path / "b.bin")
    assert again.starts == []
    assert (result.bytes_received, result.resumed_from, result.verified) == (0, len(DATA), "file")
    assert (result.size, result.revision) == (len(DATA), "m1")
    assert again.told(Started) == [Started(NAME, len(DATA), len(DATA), again.transfer_id)]
    after = (tmp_path / "b.bin").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert names_in(tmp_path) == ["b.bin"]


@pytest.mark.parametrize("there", [b"", b"other", DATA[:-1], DATA + b"x", DATA[:-1] + b"x"])
async def test_a_different_file_is_not_replaced_unasked(tmp_path: Path, there: bytes) -> None:
    """If a different file may not be replaced, nothing is downloaded."""
    (tmp_path / "b.bin").write_bytes(there)
    lab = Lab(overwrite=False)
    with pytest.raises(DestinationExistsError):
        await lab.get(tmp_path / "b.bin")
    assert lab.starts == []
    assert (tmp_path / "b.bin").read_bytes() == there
    assert names_in(tmp_path) == ["b.bin"]


@pytest.mark.parametrize("there", [b"", b"other", DATA[:-1], DATA + b"x", DATA[:-1] + b"x"])
async def test_a_different_file_is_replaced_at_the_end(tmp_path: Path, there: bytes) -> None:
    """The old file stays unchanged until the new one is complete and verified."""
    (tmp_path / "b.bin").write_bytes(there)
    seen = set()

    class Watching(Lab):
        def notify(self, event: Event) -> None:
            super().notify(event)
            if not isinstance(event, TransferEnded):
                seen.add((tmp_path / "b.bin").read_bytes())

    await Watching("...x").get(tmp_path / "b.bin")
    assert seen == {there}
    assert (tmp_path / "b.bin").read_bytes() == DATA
    assert names_in(tmp_path) == ["b.bin"]


async def test_a_failed_download_replaces_nothing(tmp_path: Path) -> None:
    """A failed download leaves the old file unchanged."""
    (tmp_path / "b.bin").write_bytes(b"old")
    with pytest.raises(UnreachableError):
        await Lab("...x", budget=0).get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == b"old"
    assert names_in(tmp_path) == ["b.bin", JOURNAL, PART]


async def test_what_appears_meanwhile_is_not_replaced_unasked(tmp_path: Path) -> None:
    """A file that appears at the destination during the download stays, and so does the part file."""

    class Appearing(Lab):
        def notify(self, event: Event) -> None:
            super().notify(event)
            if isinstance(event, Started):
                (tmp_path / "b.bin").write_bytes(b"mine")

    lab = Appearing(overwrite=False)
    with pytest.raises(DestinationExistsError):
        await lab.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == b"mine"
    (tmp_path / "b.bin").unlink()
    again = Lab(store=lab.store, overwrite=False)
    result = await again.get(tmp_path / "b.bin")
    assert result.bytes_received == 0
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_a_file_that_cannot_be_compared(tmp_path: Path) -> None:
    """If the server has no checksum, a file of the same size does not count as the same: it is replaced, or refused."""
    (tmp_path / "b.bin").write_bytes(DATA)
    lab = Lab(overwrite=False)
    with pytest.raises(DestinationExistsError):
        await lab.get(tmp_path / "b.bin", lab.client_of(WithoutChecksum(lab.transport)))
    lab = Lab()
    result = await lab.get(tmp_path / "b.bin", lab.client_of(WithoutChecksum(lab.transport)))
    assert (result.bytes_received, result.verified) == (len(DATA), "blocks")


async def test_the_checksum_is_asked_for_if_stat_does_not_know_it(tmp_path: Path) -> None:
    """If the server learns the checksum only by reading, the destination is compared with it, and no byte is fetched."""
    (tmp_path / "b.bin").write_bytes(DATA)
    lab = Lab()
    result = await lab.get(tmp_path / "b.bin", lab.client_of(WithoutChecksum(lab.transport, knows=True)))
    assert lab.starts == [len(DATA)]
    assert (result.bytes_received, result.verified) == (0, "file")


async def test_a_directory_gets_the_last_part_of_the_name(tmp_path: Path) -> None:
    """In a directory, a file gets the last part of its name."""
    result = await Lab().get(tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert result.path == str(tmp_path / "a.bin")


async def test_strings_are_paths_too(tmp_path: Path) -> None:
    """A destination may be a string."""
    lab = Lab()
    await lab.client.get(NAME, f"{tmp_path}/b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "missing/b.bin", "file/b.bin"])
async def test_destinations_that_cannot_be(tmp_path: Path, name: str) -> None:
    """A destination that the file system refuses is a LocalFileError before the server gets a request."""
    (tmp_path / "file").write_bytes(b"")
    lab = Lab()
    with pytest.raises(LocalFileError):
        await lab.get(tmp_path / name)
    assert lab.starts == []
    assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_directory_that_may_not_be_searched(tmp_path: Path) -> None:
    """A destination that cannot be examined is a LocalFileError."""
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(LocalFileError):
        await Lab().get(tmp_path / "closed" / "b.bin")


async def test_only_one_at_a_time(tmp_path: Path) -> None:
    """While one download holds the destination, another one fails at once, and does not disturb the first."""
    holder = part_at(tmp_path / "b.bin")
    holder.acquire()
    lab = Lab()
    with pytest.raises(BusyError):
        await lab.get(tmp_path / "b.bin")
    assert lab.starts == []
    assert names_in(tmp_path) == [PART]
    holder.close()
    await lab.get(tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_without_resume_nothing_of_an_earlier_run_is_used(tmp_path: Path) -> None:
    """With resume off, the download begins at 0, even if there is a part file."""
    lab = Lab("....x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path / "b.bin")
    again = Lab(store=lab.store, resume=False)
    result = await again.get(tmp_path / "b.bin")
    assert again.starts == [0]
    assert (result.resumed_from, result.bytes_received) == (0, len(DATA))
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_another_file_does_not_build_on_it(tmp_path: Path) -> None:
    """A part file of a file with another name is not used."""
    lab = Lab("....x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path / "b.bin")
    again = Lab(store=lab.store)
    again.store.put("other.bin", NEW)  # type: ignore[attr-defined]  # a MemoryStore
    await again.client.get("other.bin", tmp_path / "b.bin")
    assert again.starts == [0]
    assert (tmp_path / "b.bin").read_bytes() == NEW


async def test_an_earlier_run_survives_one_that_got_nowhere(tmp_path: Path) -> None:
    """A run that breaks before the first byte leaves no new files."""
    lab = Lab("....x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(tmp_path / "b.bin")
    for options in ({}, {"resume": False}):
        with pytest.raises(UnreachableError):
            await Lab("x", store=lab.store, budget=0, **options).get(tmp_path / "b.bin")
    result = await Lab(store=lab.store).get(tmp_path / "b.bin")
    assert result.resumed_from == 4 * BLOCK


async def test_what_an_earlier_run_left_goes_when_the_file_is_there_already(tmp_path: Path) -> None:
    """If the destination is the server's file already, the part file and the journal beside it are removed."""
    broken = Lab("." * 8 + "x" * 100)
    with pytest.raises(UnreachableError):
        await broken.get(tmp_path / "b.bin")
    assert names_in(tmp_path) == [JOURNAL, PART]
    (tmp_path / "b.bin").write_bytes(DATA)
    result = await Lab().get(tmp_path / "b.bin")
    assert (result.bytes_received, result.resumed_from) == (0, len(DATA))
    assert names_in(tmp_path) == ["b.bin"]
