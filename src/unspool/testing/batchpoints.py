"""The points of the conformance check for batches."""

from __future__ import annotations

import grpc

from unspool.core.checksum import crc32c
from unspool.testing.points import LARGEST_MESSAGE, Points
from unspool.testing.probe import LARGEST_SAMPLE, Answer, PointSkippedError, Probe, must
from unspool.v1 import file_service_pb2 as pb

BATCH_POINTS: Points[Probe] = Points()


@BATCH_POINTS.add("batch", "a batch answers its files in order, each with a header, the bytes in checked blocks, and a summary")
async def _batch(probe: Probe) -> None:
    whole = (await probe.read()).data
    wanted = pb.FileToRead(name=probe.name)
    answer = await probe.read_files(wanted, wanted)
    open_file, ended, position = False, 0, 0
    for piece in answer.pieces:
        must(piece.index == ended, f"a piece is of file {piece.index}, {ended} was next")
        must(not piece.HasField("error"), f"file {ended} has an error: {piece.error.reason} {piece.error.message}")
        if piece.HasField("header"):
            must(not open_file, "a file has two headers")
            header = piece.header
            must((header.start, header.length) == (0, len(whole)), f"it promises {header.length} bytes from {header.start}")
            open_file, position = True, 0
        if piece.HasField("block"):
            block = piece.block
            must(open_file and block.offset == position, f"a block begins at {block.offset}, {position} was next")
            must(block.crc32c == crc32c(block.data), f"the block at {block.offset} is not what its checksum says")
            position += len(block.data)
            must(block.data == whole[block.offset : position], f"the bytes at {block.offset} are not those of a read")
        if piece.HasField("summary"):
            must(open_file and piece.summary.end == position == len(whole), f"the summary comes at byte {position}")
            open_file, ended = False, ended + 1
    must(ended == 2, f"two files were asked for, {ended} were answered")  # noqa: PLR2004 - as said


@BATCH_POINTS.add(
    "batch-errors", "what is wrong with one file of a batch ends that file only, with the code and reason of a read of it"
)
async def _batch_errors(probe: Probe) -> None:
    wrong = (
        (pb.FileToRead(name="no-such-file-anywhere"), grpc.StatusCode.NOT_FOUND, "FILE_NOT_FOUND"),
        (pb.FileToRead(name=probe.name, revision="no such revision"), grpc.StatusCode.ABORTED, "FILE_CHANGED"),
        (pb.FileToRead(name="../x"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
    )
    answer = await probe.read_files(*(file for file, _, _ in wrong), pb.FileToRead(name=probe.name))
    for index, (file, code, reason) in enumerate(wrong):
        said = [(piece.error.code, piece.error.reason) for piece in answer.pieces if piece.index == index]
        must(said == [(code.value[0], reason)], f"{file.name} came to {said}, not to {code.value[0]} {reason}")
    last = [piece for piece in answer.pieces if piece.index == len(wrong)]
    must(bool(last) and last[-1].HasField("summary"), "the file after them did not come")


@BATCH_POINTS.add("batch-sizes", "blocks of a batch are not larger than asked for, and no message is larger than 4 MiB")
async def _batch_sizes(probe: Probe) -> None:
    most = 1024
    wanted = pb.FileToRead(name=probe.name)
    small = await probe.read_files(wanted, block_size=max(most, probe.size // 1000))
    largest = max((len(piece.block.data) for piece in small.pieces), default=0)
    must(largest <= max(most, probe.size // 1000), f"a block has {largest} bytes")
    large = await probe.read_files(*[wanted] * min(100, LARGEST_SAMPLE // probe.size), block_size=(1 << 31) - 1)
    must(max(large.sizes) <= LARGEST_MESSAGE, f"a message has {max(large.sizes)} bytes")


@BATCH_POINTS.add(
    "batch-start", "a file of a batch comes from its start on, and the header says so; an older server sends all of it"
)
async def _batch_start(probe: Probe) -> None:
    whole = (await probe.read()).data
    for start in (1, probe.size):
        answer = await probe.read_files(pb.FileToRead(name=probe.name, start=start), pb.FileToRead(name=probe.name))
        header, data = _file_of(answer, 0)
        if header.start == 0:
            raise PointSkippedError("the server does not know starts in a batch: it sends the file from its first byte")
        must(header.start == start, f"asked for the bytes from {start}, the header says {header.start}")
        must(header.length == len(whole) - start, f"from {start} it promises {header.length} bytes")
        must(data == whole[start:], f"the bytes from {start} are not those of the whole file")
        must(_file_of(answer, 1)[1] == whole, "the file after it did not come whole")
    wrong = (
        (pb.FileToRead(name=probe.name, start=probe.size + 1), grpc.StatusCode.OUT_OF_RANGE, "START_PAST_END"),
        (pb.FileToRead(name=probe.name, start=-1), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RANGE"),
    )
    answer = await probe.read_files(*(file for file, _, _ in wrong))
    for index, (file, code, reason) in enumerate(wrong):
        said = [(piece.error.code, piece.error.reason) for piece in answer.pieces if piece.index == index]
        must(said == [(code.value[0], reason)], f"a start of {file.start} came to {said}, not to {code.value[0]} {reason}")


@BATCH_POINTS.add(
    "batch-unless", "a file of a batch at the revision the client has comes without its bytes; an older server sends them"
)
async def _batch_unless(probe: Probe) -> None:
    read = await probe.read()
    whole, revision = read.data, read.header.info.revision
    answer = await probe.read_files(
        pb.FileToRead(name=probe.name, unless_revision="no such revision"),
        pb.FileToRead(name=probe.name, unless_revision=revision, start=1),
    )
    must(_file_of(answer, 0)[1] == whole, "the file did not come whole, though the client has another revision")
    header, data = _file_of(answer, 1)
    if header.start == 0:
        raise PointSkippedError("the server does not know unless_revision: it sends the bytes")
    must(not data and header.length == 0, f"{len(data)} bytes came of {header.length} promised, of a revision that is there")
    must(header.start == probe.size, f"the header's start is {header.start}, not the file's size, {probe.size}")
    must(header.info.revision == revision, f"the header says revision {header.info.revision}")


@BATCH_POINTS.add("batch-length", "a batch may ask for spans of files, cut at their end; an older server sends each to its end")
async def _batch_length(probe: Probe) -> None:
    whole = (await probe.read()).data
    size = len(whole)
    spans = [(0, 1), (size // 2, 2), (0, size), (size - 1, 100), (size, 5), (0, 0)]
    answer = await probe.read_files(*(pb.FileToRead(name=probe.name, start=start, length=length) for start, length in spans))
    for index, (start, length) in enumerate(spans):
        header, data = _file_of(answer, index)
        stop = min(start + length, size)
        if header.length > stop - start and header.start + header.length == size:
            raise PointSkippedError("the server does not know lengths in a batch: it sends the file to its end")
        must(
            (header.start, header.length) == (start, stop - start),
            f"asked for {length} bytes from {start}, the header says {header.length} from {header.start}",
        )
        must(data == whole[start:stop], f"the bytes {start} to {stop} are not those of the whole file")
    answer = await probe.read_files(
        pb.FileToRead(name=probe.name, length=-1),
        pb.FileToRead(name=probe.name, start=size + 1, length=1),
        pb.FileToRead(name=probe.name, length=1),
    )
    said = [(piece.error.code, piece.error.reason) for piece in answer.pieces if piece.HasField("error")]
    wrong = [
        (grpc.StatusCode.INVALID_ARGUMENT.value[0], "INVALID_RANGE"),
        (grpc.StatusCode.OUT_OF_RANGE.value[0], "START_PAST_END"),
    ]
    must(said == wrong, f"a negative length and a start beyond the end came to {said}, not to {wrong}")
    must(_file_of(answer, 2)[1] == whole[:1], "the span after them did not come")


@BATCH_POINTS.add(
    "batch-packs", "files come in packs only if asked for, whole and at the revision asked for; pieces will do too"
)
async def _batch_packs(probe: Probe) -> None:
    whole = (await probe.read()).data
    pinned = pb.FileToRead(name=probe.name, revision=probe.sample.revision)
    gone = pb.FileToRead(name=probe.name, revision="no such revision")
    for packs, files in ((False, [pinned] * 3), (True, [pb.FileToRead(name=probe.name)] * 3)):
        must(not (await probe.read_files(*files, packs=packs)).packs, "a pack came that was not asked for, or of no revision")
    answer = await probe.read_files(pinned, pinned, gone, pinned, packs=True)
    came: list[int] = [piece.index for piece in answer.pieces if piece.HasField("summary") or piece.HasField("error")]
    for pack in answer.packs:
        came += range(pack.first, pack.first + len(pack.sizes))
        must(list(pack.sizes) == [len(whole)] * len(pack.sizes), f"a pack has files of {list(pack.sizes)} bytes")
        must(list(pack.crc32c) == [crc32c(whole)] * len(pack.sizes), "a checksum in a pack is not that of the file")
        must(pack.data == whole * len(pack.sizes), "the bytes of a pack are not those of the files, one after another")
    must(sorted(came) == [0, 1, 2, 3], f"four files were asked for; {sorted(came)} were answered")
    must(any(piece.index == 2 and piece.HasField("error") for piece in answer.pieces), "a file of another revision came")  # noqa: PLR2004


def _file_of(answer: Answer, index: int) -> tuple[pb.Header, bytes]:
    """Return the header and the bytes of a file of a batch. The point fails if the file is missing or incomplete."""
    pieces = [piece for piece in answer.pieces if piece.index == index]
    must(bool(pieces), f"file {index} was not answered")
    must(not pieces[-1].HasField("error"), f"file {index} has an error: {pieces[-1].error.reason} {pieces[-1].error.message}")
    must(pieces[0].HasField("header") and pieces[-1].HasField("summary"), f"file {index} has no header, or no summary")
    summary = pieces[-1].summary
    header = pieces[0].header
    must(summary.end == header.start + header.length, f"the summary of file {index} is not about its last byte")
    must(summary.at_end == (summary.end == header.info.size), f"the summary of file {index} is wrong about the end of the file")
    return header, b"".join(piece.block.data for piece in pieces)
