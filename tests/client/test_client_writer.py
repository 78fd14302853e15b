"""Downloads to a writer: in order, verified, and the last block only if the whole file matches."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from client.lab import BLOCK, DATA, NAME, Lab, WithoutChecksum
from unspool.client.events import Advanced, Started
from unspool.client.results import Result
from unspool.client.transport import Transport
from unspool.core.model import Bytes
from unspool.errors import FileChangedError, FileMismatchError, LocalFileError, UnreachableError
from unspool.stores import MemoryStore


class Raw:
    """A writer that accepts only some of the bytes it is given.

    Attributes:
        taken: all accepted bytes.
        calls: the number of calls.
    """

    def __init__(self, *answers: int | OSError | None) -> None:
        self.taken = b""
        self.calls = 0
        self._answers = list(answers)

    def write(self, data: Bytes) -> int | None:
        """Accept some bytes."""
        self.calls += 1
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, OSError):
            raise answer
        self.taken += data if answer is None else bytes(data[: max(answer, 0)])
        return answer


async def written(lab: Lab, writer: Raw | io.BytesIO, transport: Transport | None = None) -> Result:
    """Download the file to a writer."""
    client = lab.client_of(transport) if transport else lab.client
    return await client.get(NAME, writer, observers=[lab])


@pytest.mark.parametrize("size", [0, 1, BLOCK, BLOCK + 1, 10 * BLOCK])
async def test_a_writer_gets_the_file(size: int) -> None:
    """The writer gets the bytes of the file, and the result says that they were verified."""
    lab = Lab(store=MemoryStore({NAME: DATA[:size]}))
    writer = io.BytesIO()
    result = await written(lab, writer)
    assert writer.getvalue() == DATA[:size]
    assert (result.path, result.size, result.verified, result.bytes_received) == (None, size, "file", size)
    assert lab.told(Started) == [Started(NAME, size, 0, lab.transfer_id)]
    assert [told.good for told in lab.told(Advanced)][-1:] == [size][: size > 0]


async def test_faults_do_not_reach_a_writer() -> None:
    """Over any number of broken attempts, the writer gets every byte once, in order."""
    lab = Lab(".x.!.E.2.~..z.<")
    writer = io.BytesIO()
    result = await written(lab, writer)
    assert lab.transport.fired == "x!E2~z<"
    assert writer.getvalue() == DATA
    assert result.verified == "file"


async def test_the_last_block_waits_for_the_whole() -> None:
    """If the whole file does not match, the writer has not got the last block, so its reader sees a truncated file."""
    lab = Lab()
    writer = Raw()
    with pytest.raises(FileMismatchError):
        await written(lab, writer, WithoutChecksum(lab.transport, lies=1))
    assert writer.taken == DATA[: 10 * BLOCK]


async def test_a_small_file_is_withheld_whole() -> None:
    """A file of one block that does not match is not written at all."""
    lab = Lab(store=MemoryStore({NAME: b"small"}))
    writer = Raw()
    with pytest.raises(FileMismatchError):
        await written(lab, writer, WithoutChecksum(lab.transport, lies=1))
    assert writer.calls == 0


async def test_a_change_is_an_error() -> None:
    """Written bytes cannot be taken back: if the file changes, the download does not begin again."""
    lab = Lab("...v")
    writer = Raw()
    with pytest.raises(FileChangedError):
        await written(lab, writer)
    assert lab.starts == [0]
    assert DATA.startswith(writer.taken)


async def test_a_failed_download_has_written_what_is_good() -> None:
    """When the budget is spent, the writer has got the beginning of the file, and nothing else."""
    lab = Lab("...x", budget=0)
    writer = Raw()
    with pytest.raises(UnreachableError):
        await written(lab, writer)
    assert writer.taken == DATA[: 2 * BLOCK]


async def test_without_a_checksum_of_the_whole() -> None:
    """If the server has no checksum of the whole file, the writer gets the file, and the result claims only the blocks."""
    lab = Lab()
    writer = Raw()
    result = await written(lab, writer, WithoutChecksum(lab.transport))
    assert writer.taken == DATA
    assert result.verified == "blocks"


async def test_a_writer_may_take_a_part() -> None:
    """A raw writer that accepts only some of the bytes is given the rest."""
    writer = Raw(1, 50, 49, 99, 1, None, 30)
    await written(Lab(), writer)
    assert writer.taken == DATA
    assert writer.calls == 11 + 4


@pytest.mark.parametrize("answer", [0, -1, BLOCK + 1])
async def test_a_writer_that_makes_no_sense(answer: int) -> None:
    """A writer that accepts no bytes, or more than it was given, ends the download with an error instead of an endless loop."""
    writer = Raw(None, answer)
    with pytest.raises(LocalFileError, match=f"took {answer}") as caught:
        await written(Lab(), writer)
    assert caught.value.offset == BLOCK


async def test_a_writer_that_fails() -> None:
    """An error of the writer is raised at once, with the offset, and not retried."""
    lab = Lab()
    writer = Raw(None, 40, BrokenPipeError(32, "Broken pipe"))
    with pytest.raises(LocalFileError, match="broken pipe") as caught:
        await written(lab, writer)
    assert caught.value.offset == BLOCK + 40
    assert isinstance(caught.value.__cause__, BrokenPipeError)
    assert writer.calls == 3
    assert len(lab.starts) == 1


async def test_an_error_without_words() -> None:
    """An operating-system error without a message is still reported with its kind."""
    with pytest.raises(LocalFileError, match="no words"):
        await written(Lab(), Raw(OSError("no words")))


async def test_an_open_file_is_a_writer(tmp_path: Path) -> None:
    """An open binary file is a writer."""
    with (tmp_path / "b.bin").open("wb") as file:
        await Lab().client.get(NAME, file)
    assert (tmp_path / "b.bin").read_bytes() == DATA
