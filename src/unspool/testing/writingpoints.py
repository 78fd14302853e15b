"""The points of the conformance check for writing: those of PROTOCOL.md, section 14. Numbers are of its table of checks."""

from __future__ import annotations

import secrets

import grpc

from unspool.core.checksum import crc32c
from unspool.testing.points import Points
from unspool.testing.probe import PointSkippedError, must
from unspool.testing.smallpoints import SMALL_POINTS
from unspool.testing.writingprobe import STEP, WritingProbe, block
from unspool.v1 import file_service_pb2 as pb

WRITING_POINTS: Points[WritingProbe] = Points()
"""The points of uploads, small files and deletions, in the order in which they are checked."""

_DATA = bytes(range(256)) * (3 * STEP // 256) + b"the end"
"""Four blocks."""

_CODE = grpc.StatusCode
_INVALID = _CODE.INVALID_ARGUMENT


@WRITING_POINTS.add("write", "an upload is opened, gets its name by the commit, and is then what StatFile and ReadFile give")
async def _write(probe: WritingProbe) -> None:
    info = await probe.put(_DATA)
    must((info.name, info.size) == (probe.name, len(_DATA)), f"{info.name!r} of {info.size} bytes was committed")
    must(
        info.HasField("crc32c") and info.crc32c == crc32c(_DATA), "the checksum of the committed file is not that of its bytes"
    )
    found, _ = await probe.stat(probe.name)
    must(found is not None and found.revision == info.revision, "StatFile gives another revision than the commit")
    must(await probe.bytes_of(probe.name) == _DATA, "other bytes are read than were sent")


@WRITING_POINTS.add("write-one-message", "open, block and commit may come in one message")
async def _write_one_message(probe: WritingProbe) -> None:
    for data in (b"small", b""):
        async with probe.upload() as one:
            commit = pb.UploadCommit(size=len(data), crc32c=crc32c(data))
            await one.send(open=probe.open(len(data)), block=block(0, data) if data else None, commit=commit)
            await one.opened()
            must((await one.committed()).size == len(data), "a file of another size was committed")
        must(await probe.bytes_of(probe.name) == data, "other bytes are read than were sent")


@WRITING_POINTS.add("write-atomic", "until the commit the name has what was there, or nothing, and no listing shows the upload")
async def _write_atomic(probe: WritingProbe) -> None:
    new = probe.named("write-atomic-new")
    await probe.put(b"old")
    for name, before in ((probe.name, b"old"), (new, None)):
        async with probe.upload() as one:
            await one.send(open=probe.open(len(_DATA), name=name))
            await one.opened()
            await one.send(block=block(0, _DATA[:STEP]))
            must(await probe.bytes_of(name) == before, f"{name} changed before the commit")
            pages, _ = await probe.list(prefix=probe.name.rpartition("/")[0], recursive=True)
            must(all(info.name != new for page in pages for info in page.files), "an unfinished file is listed")
            await one.end()
        must(await probe.bytes_of(name) == before, f"{name} changed without a commit")


@WRITING_POINTS.add("write-attributes", "modified and executable are those of the client, if the store has them")
async def _write_attributes(probe: WritingProbe) -> None:
    opening = probe.open(1, executable=True)
    opening.modified.FromSeconds(1_500_000_000)
    await probe.put(b"x", opening)
    info, _ = await probe.stat(probe.name)
    assert info is not None
    if not info.HasField("executable"):
        raise PointSkippedError("the store has no executable bit")
    must(info.executable and info.modified.seconds == 1_500_000_000, "they are others")  # noqa: PLR2004 - as above


# Checks


@WRITING_POINTS.add("write-first", "the first message opens the upload, or it is INVALID_REQUEST (check 1)")
async def _write_first(probe: WritingProbe) -> None:
    async with probe.upload() as one:
        await one.send(block=block(0, b"x"))
        await one.refused(_INVALID, "INVALID_REQUEST")


@WRITING_POINTS.add("write-order", "a second open in one stream is SEQUENCE (check 2)")
async def _write_order(probe: WritingProbe) -> None:
    opening = probe.open(10)
    async with probe.upload() as one:
        await one.send(open=opening)
        await one.opened()
        await one.send(open=opening)
        await one.refused(_CODE.INTERNAL, "SEQUENCE")


@WRITING_POINTS.add("write-open", "a bad id or digest is INVALID_REQUEST, bad spans and sizes are INVALID_RANGE (3, 4)")
async def _write_open(probe: WritingProbe) -> None:
    twice = [pb.GoodSpan(start=0, length=10), pb.GoodSpan(start=5, length=10)]
    for opening, reason in (
        (probe.open(1, upload_id=bytes(15)), "INVALID_REQUEST"),
        (probe.open(1, sha256=bytes(31)), "INVALID_REQUEST"),
        (probe.open(1, discard=twice), "INVALID_RANGE"),
        (probe.open(-1), "INVALID_RANGE"),
    ):
        async with probe.upload() as one:
            await one.send(open=opening)
            await one.refused(_INVALID, reason)


@WRITING_POINTS.add("write-names", "a name that is none is INVALID_NAME (check 6)")
async def _write_names(probe: WritingProbe) -> None:
    for name in ("", "/etc/passwd", "../x", "a/../b", "./a", "a//b", "a/", "a\\b", "a\0b", "x" * 5000):
        async with probe.upload() as one:
            await one.send(open=pb.UploadOpen(upload_id=secrets.token_bytes(16), name=name))
            await one.refused(_INVALID, "INVALID_NAME")


@WRITING_POINTS.add("write-condition", "a condition that does not hold is refused when the upload is opened (check 7)")
async def _write_condition(probe: WritingProbe) -> None:
    async with probe.upload() as one:
        await one.send(open=probe.open(1, if_revision="no such revision"))
        await one.refused(_CODE.ABORTED, "FILE_CHANGED")
    info = await probe.put(b"old", probe.open(3, if_absent=True))
    for opening, code, reason in (
        (probe.open(1, if_absent=True), _CODE.ALREADY_EXISTS, "ALREADY_EXISTS"),
        (probe.open(1, if_revision="no such revision"), _CODE.ABORTED, "FILE_CHANGED"),
    ):
        async with probe.upload() as one:
            await one.send(open=opening)
            await one.refused(code, reason)
    await probe.put(b"newer", probe.open(5, if_revision=info.revision))
    must(await probe.bytes_of(probe.name) == b"newer", "a file at the right revision was not replaced")


@WRITING_POINTS.add("write-block", "an empty or too long block is INVALID_REQUEST, one beyond the size INVALID_RANGE (10, 11)")
async def _write_block(probe: WritingProbe) -> None:
    async with probe.upload() as one:
        await one.send(open=probe.open())
        longest = (await one.opened()).block_size
        must(longest >= STEP, f"the largest block has {longest} bytes, and every server takes {STEP}")
        await one.end()
    for wrong, reason in (
        (block(0, b""), "INVALID_REQUEST"),
        (block(0, bytes(longest + 1)) if longest < 3 << 20 else block(0, b""), "INVALID_REQUEST"),
        (block(-1, b"x"), "INVALID_RANGE"),
        (block(0, bytes(11)), "INVALID_RANGE"),
    ):
        async with probe.upload() as one:
            await one.send(open=probe.open(10 if reason == "INVALID_RANGE" else None))
            await one.opened()
            await one.send(block=wrong)
            await one.refused(_INVALID, reason)


@WRITING_POINTS.add("write-checksum", "a block that does not match its CRC32C is BLOCK_CORRUPT, and not kept (check 13)")
async def _write_checksum(probe: WritingProbe) -> None:
    opening = probe.open(len(_DATA))
    async with probe.upload() as one:
        await one.send(open=opening)
        await one.opened()
        await one.send(block=block(0, _DATA[:STEP], checksum=crc32c(_DATA[:STEP]) ^ 1))
        await one.refused(_CODE.DATA_LOSS, "BLOCK_CORRUPT")
    async with probe.upload() as one:
        await one.send(open=opening)
        must(not (await one.opened()).good, "bytes that did not match are kept")
        await one.end()


@WRITING_POINTS.add("write-gap", "a block above the first missing byte is SEQUENCE, one below is compared (14, 15)")
async def _write_gap(probe: WritingProbe) -> None:
    opening = probe.open(len(_DATA))
    async with probe.upload() as one:
        await one.send(open=opening)
        await one.opened()
        await one.send(block=block(0, _DATA[:STEP]))
        await one.send(block=block(2 * STEP, _DATA[2 * STEP : 3 * STEP]))
        await one.refused(_CODE.INTERNAL, "SEQUENCE", offset=STEP)
    async with probe.upload() as one:
        await one.send(open=opening)
        await one.opened()
        await one.send(block=block(0, _DATA[:STEP]))  # the same again is fine
        await one.send(block=block(10, bytes(10)))
        await one.refused(_CODE.DATA_LOSS, "FILE_MISMATCH")


@WRITING_POINTS.add("write-commit", "a commit of another size is INVALID_RANGE, one with bytes missing SEQUENCE (17, 18)")
async def _write_commit(probe: WritingProbe) -> None:
    for size, code, reason, offset in ((5, _INVALID, "INVALID_RANGE", None), (10, _CODE.INTERNAL, "SEQUENCE", 4)):
        async with probe.upload() as one:
            await one.send(open=probe.open(10))
            await one.opened()
            await one.send(block=block(0, bytes(4)), commit=pb.UploadCommit(size=size, crc32c=crc32c(bytes(size))))
            await one.refused(code, reason, offset)
    must(await probe.bytes_of(probe.name) is None, "a file was committed all the same")


@WRITING_POINTS.add(
    "write-mismatch", "a whole that differs is FILE_MISMATCH with the segments; sending some again repairs it (19)"
)
async def _write_mismatch(probe: WritingProbe) -> None:
    opening = probe.open(len(_DATA))
    async with probe.upload() as one:
        await one.send(open=opening)
        await one.opened()
        await one.send(block=block(0, bytes(STEP)))  # not what the file has
        await probe.rest(one, _DATA, STEP)
        refused = await one.refused(_CODE.DATA_LOSS, "FILE_MISMATCH")
    must(await probe.bytes_of(probe.name) is None, "a file was committed all the same")
    spans = [(good.start, good.start + good.length, good.crc32c) for good in refused.good]
    must(bool(spans) and spans[0][0] == 0 and spans[-1][1] == len(_DATA), "the segments that it has are not told")
    differ = [pb.GoodSpan(start=start, length=stop - start) for start, stop, sum_ in spans if sum_ != crc32c(_DATA[start:stop])]
    must(bool(differ), "the checksums of the segments are not those of the bytes that came")
    async with probe.upload() as one:
        opening.discard.extend(differ)
        await one.send(open=opening)
        missing = _missing((await one.opened()).good)
        must(any(start < STEP for start, _ in missing), "what was to be forgotten is still there")
        for start, stop in missing:
            for offset in range(start, stop, STEP):
                await one.send(block=block(offset, _DATA[offset : min(offset + STEP, stop)]))
        await one.send(commit=pb.UploadCommit(size=len(_DATA), crc32c=crc32c(_DATA)))
        await one.committed()
    must(await probe.bytes_of(probe.name) == _DATA, "the file that was repaired has other bytes")


@WRITING_POINTS.add("write-commit-condition", "a condition that fails at the commit refuses it, and the bytes are kept (20)")
async def _write_commit_condition(probe: WritingProbe) -> None:
    async with probe.upload() as one:
        opening = probe.open(len(_DATA), if_absent=True)
        await one.send(open=opening)
        await one.opened()
        other = await probe.put(b"other")
        await probe.rest(one, _DATA)
        await one.refused(_CODE.ALREADY_EXISTS, "ALREADY_EXISTS")
    must(await probe.bytes_of(probe.name) == b"other", "the file that was there is gone")
    async with probe.upload() as one:
        opening.if_revision = other.revision
        await one.send(open=opening, commit=pb.UploadCommit(size=len(_DATA), crc32c=crc32c(_DATA)))
        must(not _missing((await one.opened()).good), "what was received is not kept")
        await one.committed()
    must(await probe.bytes_of(probe.name) == _DATA, "the name has other bytes")


# Resuming


@WRITING_POINTS.add("write-resume", "an upload goes on: opened and StatUpload say what is there, with its CRC32C")
async def _write_resume(probe: WritingProbe) -> None:
    opening = probe.open(len(_DATA))
    must(not (await probe.stat_upload(opening)).ByteSize(), "StatUpload knows an upload that nobody has opened")
    async with probe.upload() as one:
        await one.send(open=opening)
        await one.opened()
        await one.send(block=block(0, _DATA[:STEP]))
        await one.send(block=block(STEP, _DATA[STEP : 2 * STEP]))
        await one.end()
    expected = [(0, 2 * STEP, crc32c(_DATA[: 2 * STEP]))]
    told = (await probe.stat_upload(opening)).opened.good
    must([(good.start, good.length, good.crc32c) for good in told] == expected, "StatUpload says something else")
    async with probe.upload() as one:
        await one.send(open=opening)
        good = (await one.opened()).good
        must([(one.start, one.length, one.crc32c) for one in good] == expected, f"opened says {len(good)} other spans")
        await probe.rest(one, _DATA, 2 * STEP)
        await one.committed()
    must(await probe.bytes_of(probe.name) == _DATA, "other bytes are read than were sent")


@WRITING_POINTS.add("write-other-id", "another id, or another name, is another upload")
async def _write_other_id(probe: WritingProbe) -> None:
    opening = probe.open(len(_DATA))
    async with probe.upload() as one:
        await one.send(open=opening)
        await one.opened()
        await one.send(block=block(0, _DATA[:STEP]))
        for other in (probe.open(len(_DATA)), probe.open(len(_DATA), opening.upload_id, name=probe.named("write-another"))):
            async with probe.upload() as second:
                await second.send(open=other)
                must(not (await second.opened()).good, "it has the bytes of the first one")
                await second.end()
        await probe.rest(one, _DATA, STEP)
        await one.committed()


@WRITING_POINTS.add("write-take-over", "who opens an upload again takes it over: the older stream gets TAKEN_OVER")
async def _write_take_over(probe: WritingProbe) -> None:
    opening = probe.open(len(_DATA))
    async with probe.upload() as older, probe.upload() as newer:
        await older.send(open=opening)
        await older.opened()
        await older.send(block=block(0, _DATA[:STEP]))
        await newer.send(open=opening)
        have = sum(good.length for good in (await newer.opened()).good)
        await older.refused(_CODE.ABORTED, "TAKEN_OVER", waits=True)
        await probe.rest(newer, _DATA, have)
        await newer.committed()


@WRITING_POINTS.add("write-again", "a commit is answered again, whatever the condition, and so is StatUpload")
async def _write_again(probe: WritingProbe) -> None:
    opening = probe.open(len(_DATA), if_absent=True)
    info = await probe.put(_DATA, opening)
    async with probe.upload() as one:
        await one.send(open=opening)
        again = await one.committed()
    must((again.size, again.crc32c) == (info.size, info.crc32c), "another file was committed")
    must((await probe.stat_upload(opening)).HasField("committed"), "StatUpload does not know it")


@WRITING_POINTS.add("write-there", "a file that is there already is committed at once, and not touched")
async def _write_there(probe: WritingProbe) -> None:
    info = await probe.put(_DATA)
    async with probe.upload() as one:
        await one.send(open=probe.open(len(_DATA), crc32c=crc32c(_DATA)))
        must((await one.committed()).revision == info.revision, "the file has another revision")
    found, _ = await probe.stat(probe.name)
    must(found is not None and found.revision == info.revision, "the file that was there was touched")
    async with probe.upload() as one:
        await one.send(open=probe.open(len(_DATA), crc32c=crc32c(_DATA), if_absent=True))
        await one.refused(_CODE.ALREADY_EXISTS, "ALREADY_EXISTS")


@WRITING_POINTS.add("write-abandon", "AbandonUpload removes what there is; of an unknown upload it is OK")
async def _write_abandon(probe: WritingProbe) -> None:
    opening = probe.open(len(_DATA))
    async with probe.upload() as one:
        await one.send(open=opening)
        await one.opened()
        await one.send(block=block(0, _DATA[:STEP]))
        await one.end()
    for _ in range(2):
        answer = await probe.abandon(opening)
        must(answer.code is _CODE.OK, f"it ended with {answer.code.name} ({answer.text})")
    must(not (await probe.stat_upload(opening)).ByteSize(), "StatUpload still knows it")


def _missing(good: object) -> list[tuple[int, int]]:
    """Return the spans of the file that a server lacks."""
    missing, at = [], 0
    for span in good:  # type: ignore[attr-defined]  # a repeated field
        if span.start > at:
            missing.append((at, span.start))
        at = span.start + span.length
    return [*missing, (at, len(_DATA))] if at < len(_DATA) else missing


WRITING_POINTS.update(SMALL_POINTS)
