"""Local bytes or server checksums that turn out wrong: damaged bytes are fetched again, and no wrong byte is kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from client.lab import BLOCK, DATA, JOURNAL, NAME, PART, Lab, WithoutChecksum, Wrapper, names_in
from unspool.client.events import Advanced, Event, Repairing, Restarting, Started
from unspool.core.checksum import crc32c
from unspool.core.journal import Journal, decode
from unspool.core.model import Frame, ReadRequest
from unspool.core.retry import RetryPolicy
from unspool.core.segments import Segment
from unspool.errors import FileMismatchError, ProtocolError, TruncatedError, UnreachableError
from unspool.testing import FaultyTransport

SEGMENT = 2 * BLOCK


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the journal's segments two blocks long."""
    monkeypatch.setattr("unspool.client.unfinished.segment_size_for", lambda _: SEGMENT)


async def interrupted(directory: Path, blocks: int = 7) -> Lab:
    """Leave the files of a run that broke after this many blocks."""
    lab = Lab("." * blocks + "x", budget=0)
    with pytest.raises(UnreachableError):
        await lab.get(directory / "b.bin")
    return lab


def damage(directory: Path, *offsets: int) -> None:
    """Change bytes of the part file."""
    data = bytearray((directory / PART).read_bytes())
    for offset in offsets:
        data[offset] ^= 0xFF
    (directory / PART).write_bytes(data)


def vouch_for(directory: Path) -> None:
    """Make the journal match the present bytes of the part file."""
    journal = decode((directory / JOURNAL).read_bytes())
    assert journal is not None
    data = (directory / PART).read_bytes()
    segments = {
        number: Segment(segment.length, crc32c(data[number * SEGMENT : number * SEGMENT + segment.length]))
        for number, segment in journal.segments.items()
    }
    vouching = Journal(journal.name, journal.source, journal.revision, journal.size, journal.segment_size, segments)
    (directory / JOURNAL).write_bytes(vouching.encode())


@pytest.mark.parametrize(
    ("offsets", "starts"),
    [
        ([0], [0, 7 * BLOCK]),
        ([SEGMENT], [SEGMENT, 7 * BLOCK]),
        ([SEGMENT - 1, SEGMENT], [0, 7 * BLOCK]),
        ([0, 2 * SEGMENT], [0, 2 * SEGMENT, 7 * BLOCK]),
        ([3 * SEGMENT], [3 * SEGMENT]),
    ],
)
async def test_only_damaged_segments_are_fetched_again(tmp_path: Path, offsets: list[int], starts: list[int]) -> None:
    """Bytes that changed on the disk between runs are detected, and only their segments are fetched again."""
    lab = await interrupted(tmp_path)
    damage(tmp_path, *offsets)
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert again.starts == starts
    assert result.resumed_from + result.bytes_received == len(DATA)
    assert (result.restarts, result.verified) == (0, "file")
    assert (tmp_path / "b.bin").read_bytes() == DATA


@pytest.mark.parametrize("cut", [0, 1, SEGMENT, SEGMENT + 1, 7 * BLOCK - 1])
async def test_a_part_file_cut_short(tmp_path: Path, cut: int) -> None:
    """A part file that is shorter than its journal says is used up to its last complete segment."""
    lab = await interrupted(tmp_path)
    with (tmp_path / PART).open("r+b") as part:
        part.truncate(cut)
    again = Lab(store=lab.store)
    await again.get(tmp_path / "b.bin")
    assert again.starts == [cut // SEGMENT * SEGMENT]
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_wrong_bytes_that_the_journal_vouches_for(tmp_path: Path) -> None:
    """If the whole file does not match although its local bytes match the journal, the download begins again without them."""
    lab = await interrupted(tmp_path)
    damage(tmp_path, 3)
    vouch_for(tmp_path)
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert again.starts == [7 * BLOCK, 0]
    assert [type(told.error) for told in again.told(Restarting)] == [FileMismatchError]
    assert (result.restarts, result.resumed_from, result.verified) == (1, 0, "file")
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_a_server_that_lies_about_a_fresh_download(tmp_path: Path) -> None:
    """If the whole file does not match and every byte came in this run, it is an error; the next run checks again."""
    lab = Lab()
    with pytest.raises(FileMismatchError):
        await lab.get(tmp_path / "b.bin", lab.client_of(WithoutChecksum(lab.transport, lies=1)))
    assert lab.starts == [0]
    assert names_in(tmp_path) == [JOURNAL, PART]
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert again.starts == [len(DATA)]
    assert (result.resumed_from, result.bytes_received, result.verified) == (len(DATA), 0, "file")
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_a_server_that_keeps_lying(tmp_path: Path) -> None:
    """A server whose checksum never matches gets one restart, and then an error; the final name does not appear."""
    await interrupted(tmp_path)
    lab = Lab()
    with pytest.raises(FileMismatchError):
        await lab.get(tmp_path / "b.bin", lab.client_of(WithoutChecksum(lab.transport, lies=99)))
    assert lab.starts == [7 * BLOCK, 0]
    assert len(lab.told(Restarting)) == 1
    assert names_in(tmp_path) == [JOURNAL, PART]


async def test_damage_during_the_run_is_repaired(tmp_path: Path) -> None:
    """If the whole file does not match, the local bytes are read again, and damaged ones are fetched again, once."""
    lab = Lab()
    transport = WithoutChecksum(lab.transport, lies=1, knows=True)

    class Damaging(Lab):
        def notify(self, event: Event) -> None:
            super().notify(event)
            if len(self.told(Advanced)) == 8 and isinstance(event, Advanced):
                with (tmp_path / PART).open("r+b") as part:
                    part.write(bytes(SEGMENT + 5))

    damaging = Damaging(store=lab.store)
    result = await damaging.get(tmp_path / "b.bin", damaging.client_of(transport))
    assert [told.bad for told in damaging.told(Repairing)] == [2 * SEGMENT]
    assert lab.starts == [0, 0, len(DATA)]
    assert [request.length for request in lab.transport.requests] == [None, 2 * SEGMENT, None]
    assert (result.restarts, result.verified) == (0, "file")
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_repairs_come_to_an_end(tmp_path: Path) -> None:
    """A disk that keeps changing written bytes gets only one repair."""

    class AlwaysDamaging(Lab):
        def notify(self, event: Event) -> None:
            super().notify(event)
            if isinstance(event, Advanced) and event.good > 5 * BLOCK:
                with (tmp_path / PART).open("r+b") as part:
                    part.write(b"damage")

    lab = AlwaysDamaging()
    with pytest.raises(FileMismatchError):
        await lab.get(tmp_path / "b.bin", lab.client_of(WithoutChecksum(lab.transport, lies=3, knows=True)))
    assert len(lab.told(Repairing)) == 1


async def test_a_server_that_contradicts_itself(tmp_path: Path) -> None:
    """Two checksums for one revision are a protocol error, and not retried."""

    class Contradicting(WithoutChecksum):
        def through(self, frame: Frame) -> Frame:
            return frame if frame.header is not None else super().through(frame)

    lab = Lab()
    with pytest.raises(ProtocolError):
        await lab.get(tmp_path / "b.bin", lab.client_of(Contradicting(lab.transport, lies=1)))
    assert len(lab.starts) == 1


async def test_a_server_that_lies_consistently_once(tmp_path: Path) -> None:
    """A wrong block with a right checksum, in a transfer of several attempts, costs one restart."""
    lab = Lab("..>")
    result = await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == ">"
    assert [type(told.error) for told in lab.told(Restarting)] == [FileMismatchError]
    assert (result.restarts, result.verified) == (1, "file")
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_blocks_of_their_own_are_found_out(tmp_path: Path) -> None:
    """A server that repeatedly sends a wrong byte with a matching checksum does not get it to the final name."""
    lab = Lab("..>" + "." * 8 + "..>")
    with pytest.raises(FileMismatchError):
        await lab.get(tmp_path / "b.bin")
    assert lab.transport.fired == ">>"
    assert names_in(tmp_path) == [JOURNAL, PART]
    again = Lab(store=lab.store)
    result = await again.get(tmp_path / "b.bin")
    assert result.restarts == 1
    assert (tmp_path / "b.bin").read_bytes() == DATA


async def test_without_a_checksum_of_the_whole_blocks_are_all(tmp_path: Path) -> None:
    """If the server has no checksum of the whole file, the result claims only the blocks, fresh or resumed."""
    lab = Lab()
    result = await lab.get(tmp_path / "b.bin", lab.client_of(WithoutChecksum(lab.transport)))
    assert result.verified == "blocks"
    (tmp_path / "b.bin").unlink()
    first = await interrupted(tmp_path)
    again = Lab(store=first.store)
    result = await again.get(tmp_path / "b.bin", again.client_of(WithoutChecksum(again.transport)))
    assert (result.verified, result.resumed_from) == ("blocks", 7 * BLOCK)
    assert (tmp_path / "b.bin").read_bytes() == DATA


class SummaryApart(Wrapper):
    """A server that sends its summary in a message of its own, after the last block."""

    async def read(self, request: ReadRequest) -> AsyncGenerator[Frame, None]:
        """See `Transport.read`."""
        async for frame in self.inner.read(request):
            yield replace(frame, summary=None)
            if frame.summary is not None:
                yield Frame(summary=frame.summary)


async def test_nothing_missing_is_still_checked(tmp_path: Path) -> None:
    """A run that finds all bytes here asks the server for the checksum of the whole file."""
    lab = Lab()
    cut = FaultyTransport(SummaryApart(lab.transport), "." * 11 + "EEx")
    client = lab.client_of(cut)
    with pytest.raises(TruncatedError):
        await client.get(NAME, tmp_path / "b.bin", options=replace(lab.options, retry=RetryPolicy(budget=1)))
    with pytest.raises(UnreachableError):
        await client.get(NAME, tmp_path / "b.bin", options=replace(lab.options, retry=RetryPolicy(budget=1)))
    assert names_in(tmp_path) == [JOURNAL, PART]
    result = await lab.get(tmp_path / "b.bin", client)
    assert [request.start for request in cut.requests] == [0, len(DATA), len(DATA), len(DATA)]
    assert (result.resumed_from, result.bytes_received, result.verified) == (len(DATA), 0, "file")
    assert lab.told(Started) == [Started(NAME, len(DATA), len(DATA), lab.transfer_id)]
    assert (tmp_path / "b.bin").read_bytes() == DATA
