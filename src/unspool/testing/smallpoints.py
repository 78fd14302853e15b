"""The points of the conformance check for small files, deletions and the storage."""

from __future__ import annotations

import grpc

from unspool.core.checksum import crc32c
from unspool.testing.points import Points
from unspool.testing.probe import PointSkippedError, must
from unspool.testing.writingprobe import WritingProbe
from unspool.v1 import file_service_pb2 as pb

SMALL_POINTS: Points[WritingProbe] = Points()

_CODE = grpc.StatusCode
_INVALID = _CODE.INVALID_ARGUMENT


@SMALL_POINTS.add("write-files", "small files are answered in order, and an error ends its own file")
async def _write_files(probe: WritingProbe) -> None:
    names = [probe.named(f"write-files-{number}") for number in range(3)]
    good = [pb.SmallFile(name=name, data=name.encode(), crc32c=crc32c(name.encode())) for name in names]
    wrong = [
        (pb.SmallFile(name="../x", crc32c=0), "INVALID_NAME"),
        (pb.SmallFile(name=probe.name, data=b"x", crc32c=crc32c(b"y")), "BLOCK_CORRUPT"),
        (pb.SmallFile(name=names[0], data=b"x", crc32c=crc32c(b"x"), if_absent=True), "ALREADY_EXISTS"),
        (pb.SmallFile(name=names[0], data=b"x", crc32c=crc32c(b"x"), if_revision="no such revision"), "FILE_CHANGED"),
    ]
    first = await probe.write_files(*good)
    must([one.committed.name for one in first] == names, "the answers are not in the order of the files")
    for file in good:
        must(await probe.bytes_of(file.name) == file.data, f"{file.name} has other bytes")
    again = await probe.write_files(*(file for file, _ in wrong), *good)
    told = [one.error.reason for one in again[: len(wrong)]]
    must(told == [reason for _, reason in wrong], f"what is wrong with four files came to {told}")
    same = [one.committed.revision for one in again[len(wrong) :]] == [one.committed.revision for one in first]
    must(same, "files that were there already were written again")


@SMALL_POINTS.add("delete", "DeleteFile deletes the file at the revision that was meant, and says what it was")
async def _delete(probe: WritingProbe) -> None:
    info = await probe.put(b"some bytes")
    _, other = await probe.delete(probe.name, "no such revision")
    if other.code is _CODE.UNIMPLEMENTED:
        raise PointSkippedError("the server has no DeleteFile")
    await probe.refused(other, _CODE.ABORTED, "FILE_CHANGED")
    deleted, answer = await probe.delete(probe.name, info.revision)
    must(deleted is not None, f"it ended with {answer.code.name} ({answer.text})")
    assert deleted is not None
    must((deleted.name, deleted.revision) == (probe.name, info.revision), "it says that something else was deleted")
    must(await probe.bytes_of(probe.name) is None, "the file is still there")


@SMALL_POINTS.add("delete-missing", "what is not there is FILE_NOT_FOUND, whatever the revision")
async def _delete_missing(probe: WritingProbe) -> None:
    for revision in (None, "no such revision"):
        _, answer = await probe.delete(probe.name, revision)
        if answer.code is _CODE.UNIMPLEMENTED:
            raise PointSkippedError("the server has no DeleteFile")
        await probe.refused(answer, _CODE.NOT_FOUND, "FILE_NOT_FOUND")
    await probe.refused((await probe.delete("../x"))[1], _INVALID, "INVALID_NAME")


@SMALL_POINTS.add("storage", "StatStorage names the storage, and names the same one after a write")
async def _storage(probe: WritingProbe) -> None:
    first, answer = await probe.storage(probe.name)
    if answer.code is _CODE.UNIMPLEMENTED:
        raise PointSkippedError("the server has no StatStorage: nobody can write to it and to another one as if they were one")
    must(answer.code is _CODE.OK, f"it ended with {answer.code.name} ({answer.text})")
    must(first != "", "it names no storage")
    await probe.put(b"some bytes")
    must((await probe.storage(probe.name, deletes=True))[0] == first, "it names another one after a write")
    await probe.refused((await probe.storage("../x"))[1], _INVALID, "INVALID_NAME")
