"""The points of the conformance check for reading and listing: those of PROTOCOL.md, sections 2 to 8."""

from __future__ import annotations

import asyncio
import hashlib

import grpc

from unspool.core.checksum import crc32c
from unspool.core.names import check_prefix
from unspool.core.omissions import NAMED
from unspool.errors import InvalidNameError
from unspool.rpc.wire import SERVICE
from unspool.testing.batchpoints import BATCH_POINTS
from unspool.testing.points import LARGEST_MESSAGE, Points
from unspool.testing.probe import PointFailedError, PointSkippedError, Probe, must
from unspool.v1 import file_service_pb2 as pb

_CALLS_AT_ONCE = 8

POINTS: Points[Probe] = Points()
"""The points of reading, in the order in which they are checked. `WRITING_POINTS` has those of writing."""


@POINTS.add("stat", "StatFile gives the name asked for, a size, and a revision that is not empty")
async def _stat(probe: Probe) -> None:
    info, answer = await probe.stat(probe.name)
    if info is None:
        raise PointFailedError(f"{answer.code.name}: {answer.text}")
    must(info.name == probe.name, f"the name is {info.name!r}")
    must(info.size >= 0, f"the size is {info.size}")
    must(bool(info.revision), "the revision is empty")


@POINTS.add("header", "a header opens the read, exactly once, with the effective start and length")
async def _header(probe: Probe) -> None:
    answer = await probe.read()
    header = answer.header
    must(answer.messages[0].HasField("header"), "the first message has no header")
    must(sum(message.HasField("header") for message in answer.messages) == 1, "there is more than one header")
    must((header.start, header.length) == (0, header.info.size), f"it promises {header.length} bytes from {header.start}")
    must(bool(header.info.revision), "its revision is empty")


@POINTS.add("blocks", "blocks begin where the one before ended, carry the file's offsets, and are never empty")
async def _blocks(probe: Probe) -> None:
    answer = await probe.read()
    position = answer.header.start
    for message in answer.messages:
        if message.HasField("block"):
            must(message.block.offset == position, f"a block begins at {message.block.offset}, {position} was next")
            must(bool(message.block.data), f"the block at {position} is empty")
            position += len(message.block.data)
    must(position == answer.header.length, f"{position} bytes came, {answer.header.length} were promised")


@POINTS.add("checksums", "every block carries the CRC32C of exactly its data")
async def _checksums(probe: Probe) -> None:
    for message in (await probe.read()).messages:
        block = message.block
        if message.HasField("block"):
            seen = crc32c(block.data)
            must(block.crc32c == seen, f"the block at {block.offset} says {block.crc32c:08x}, its data give {seen:08x}")


@POINTS.add("summary", "a summary closes the read, exactly once, with its end and whether that is the file's")
async def _summary(probe: Probe) -> None:
    answer = await probe.read()
    must(answer.code is grpc.StatusCode.OK, f"the read ended with {answer.code.name} ({answer.text})")
    must(bool(answer.messages) and answer.messages[-1].HasField("summary"), "the last message has no summary")
    must(sum(message.HasField("summary") for message in answer.messages) == 1, "there is more than one summary")
    must(answer.summary.end == probe.size, f"it says the read ends at {answer.summary.end}, the file ends at {probe.size}")
    must(answer.summary.at_end, "it does not say that this is the end of the file")


@POINTS.add("whole", "the whole file's checksum, where it is told, is the one of the bytes that came")
async def _whole(probe: Probe) -> None:
    answer = await probe.read()
    told = [part.crc32c for part in (answer.header.info, answer.summary) if part.HasField("crc32c")]
    if not told:
        raise PointSkippedError("the server tells none")
    must(set(told) == {crc32c(answer.data)}, f"told {told[0]:08x}, the bytes give {crc32c(answer.data):08x}")


@POINTS.add("sha256", "a read that asks for the SHA-256 is told that of the bytes, in its header; no other read is")
async def _sha256(probe: Probe) -> None:
    plain = await probe.read()
    must(not plain.header.info.HasField("sha256"), "it is told without being asked for")
    told = (await probe.read(length=0, sha256=True)).header.info
    if not told.HasField("sha256"):
        raise PointSkippedError("the server tells none")
    seen = hashlib.sha256(plain.data, usedforsecurity=False)
    must(told.sha256 == seen.digest(), f"told {told.sha256.hex()}, the bytes give {seen.hexdigest()}")


@POINTS.add("same", "two reads of one revision give the same bytes, and StatFile agrees with the header")
async def _same(probe: Probe) -> None:
    first, second = await probe.read(), await probe.read()
    info, _ = await probe.stat(probe.name)
    revisions = {first.header.info.revision, second.header.info.revision, info.revision if info else ""}
    must(len(revisions) == 1, f"the revision was {', '.join(sorted(revisions))} within moments")
    must(first.data == second.data, "the bytes differ")
    must(info is not None and info.size == first.header.info.size, "StatFile gives another size than the header")


@POINTS.add("attributes", "StatFile, the header and a listing tell the same time of modification, and whether it is executable")
async def _attributes(probe: Probe) -> None:
    info, answer = await probe.stat(probe.name)
    if info is None:
        raise PointFailedError(f"{answer.code.name}: {answer.text}")
    pages, _ = await probe.list(prefix=probe.name)
    listed = [other for page in pages for other in page.files if other.name == probe.name]
    for where, other in [("the header", (await probe.read()).header.info), *(("the listing", other) for other in listed)]:
        for field in ("modified", "executable"):
            same = info.HasField(field) == other.HasField(field) and getattr(info, field) == getattr(other, field)
            must(same, f"StatFile and {where} tell a different {field!r}")


@POINTS.add("start", "a read from a start gives the bytes from there")
async def _start(probe: Probe) -> None:
    whole = (await probe.read()).data
    for start in {1, probe.size // 2, probe.size - 1}:
        answer = await probe.read(start=start)
        must(answer.header.start == start, f"asked for {start}, the header says {answer.header.start}")
        must(answer.data == whole[start:], f"the bytes from {start} are not those of the whole file")


@POINTS.add("start-at-end", "a read from the file's end is a header and a summary, and no error")
async def _start_at_end(probe: Probe) -> None:
    answer = await probe.read(start=probe.size)
    must(answer.code is grpc.StatusCode.OK, f"it ended with {answer.code.name} ({answer.text})")
    must(answer.header.start == probe.size and answer.header.length == 0, "the header promises bytes")
    must(answer.data == b"" and answer.summary.end == probe.size and answer.summary.at_end, "the summary is wrong")


@POINTS.add("start-past-end", "a read from beyond the file's end is OUT_OF_RANGE, START_PAST_END")
async def _start_past_end(probe: Probe) -> None:
    answer = await probe.read(start=probe.size + 1)
    await probe.refused(answer, grpc.StatusCode.OUT_OF_RANGE, "START_PAST_END")


@POINTS.add("negative", "a negative start or length is INVALID_ARGUMENT, INVALID_RANGE")
async def _negative(probe: Probe) -> None:
    await probe.refused(await probe.read(start=-1), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RANGE")
    await probe.refused(await probe.read(length=-1), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RANGE")


@POINTS.add("length", "a length bounds the read, is cut at the file's end, and 0 is no bytes")
async def _length(probe: Probe) -> None:
    whole = (await probe.read()).data
    for start, length in ((0, 1), (1, probe.size - 1), (1, probe.size + 100), (0, 0), (1, 0)):
        expected = whole[start : start + length]
        answer = await probe.read(start=start, length=length)
        must(answer.data == expected, f"length {length} from {start} gave {len(answer.data)} bytes")
        must(answer.header.length == len(expected), f"length {length} from {start}: the header says {answer.header.length}")
        must(answer.summary.end == start + len(expected), f"length {length} from {start}: the summary's end is wrong")
        must(answer.summary.at_end == (answer.summary.end == probe.size), "the summary is wrong about the file's end")


@POINTS.add("pin", "a read at the revision the file has gives its bytes")
async def _pin(probe: Probe) -> None:
    first = await probe.read()
    answer = await probe.read(revision=first.header.info.revision, start=1)
    must(answer.code is grpc.StatusCode.OK, f"it ended with {answer.code.name} ({answer.text})")
    must(answer.data == first.data[1:], "the bytes are others")


@POINTS.add("pin-other", "a read at another revision is ABORTED, FILE_CHANGED")
async def _pin_other(probe: Probe) -> None:
    answer = await probe.read(revision="no such revision")
    await probe.refused(answer, grpc.StatusCode.ABORTED, "FILE_CHANGED")


@POINTS.add("which-error", "a start past the end at another revision is FILE_CHANGED; a negative start comes before a bad name")
async def _which_error(probe: Probe) -> None:
    answer = await probe.read(revision="no such revision", start=probe.size + 1)
    await probe.refused(answer, grpc.StatusCode.ABORTED, "FILE_CHANGED")
    await probe.refused(await probe.read(name="../x", start=-1), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_RANGE")


@POINTS.add("block-size", "blocks are not larger than asked for, and no message is larger than 4 MiB whatever is asked for")
async def _block_size(probe: Probe) -> None:
    most = 1024
    small = await probe.read(block_size=most, length=64 * most)
    largest = max((len(message.block.data) for message in small.messages), default=0)
    must(largest <= most, f"asked for blocks of {most} bytes, got one of {largest}")
    large = await probe.read(block_size=(1 << 31) - 1)
    must(large.code is grpc.StatusCode.OK, f"a request for huge blocks ended with {large.code.name} ({large.text})")
    must(max(large.sizes) <= LARGEST_MESSAGE, f"a message has {max(large.sizes)} bytes")


@POINTS.add("not-found", "a file that is not there is NOT_FOUND, FILE_NOT_FOUND, in every call")
async def _not_found(probe: Probe) -> None:
    absent = "no-such-file-anywhere"
    await probe.refused(await probe.read(name=absent), grpc.StatusCode.NOT_FOUND, "FILE_NOT_FOUND")
    await probe.refused((await probe.stat(absent))[1], grpc.StatusCode.NOT_FOUND, "FILE_NOT_FOUND")
    await probe.refused((await probe.list(prefix=absent))[1], grpc.StatusCode.NOT_FOUND, "FILE_NOT_FOUND")


@POINTS.add("names", "a name that is none is INVALID_ARGUMENT, INVALID_NAME")
async def _names(probe: Probe) -> None:
    for name in ("", "/etc/passwd", "../x", "a/../b", "./a", "a//b", "a/", "a\\b", "a\0b", "x" * 5000):
        answer = await probe.read(name=name)
        must(not answer.data, f"{name[:20]!r} gave bytes")
        await probe.refused(answer, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME")


@POINTS.add("garbage", "a request that is no message is an error with a status, and the next one is answered")
async def _garbage(probe: Probe) -> None:
    answer = await probe.read(b"\xff\xff\xff\xff")
    must(answer.code is not grpc.StatusCode.OK, "it was answered with OK")
    must((await probe.read(length=1)).code is grpc.StatusCode.OK, "the server does not answer any more")


@POINTS.add("unknown-fields", "fields that a later version may add are ignored")
async def _unknown_fields(probe: Probe) -> None:
    request = pb.ReadFileRequest(name=probe.name, length=1).SerializeToString() + b"\xfa\x3f\x03abc"
    answer = await probe.read(request)
    must(answer.code is grpc.StatusCode.OK and len(answer.data) == 1, f"it ended with {answer.code.name} ({answer.text})")


POINTS.update(BATCH_POINTS)


@POINTS.add(
    "list",
    "a listing has the file as StatFile describes it; if recursive all files below, and only empty directories as prefixes",
)
async def _list(probe: Probe) -> None:
    pages, answer = await probe.list(prefix=probe.name.rpartition("/")[0], recursive=True)
    must(answer.code is grpc.StatusCode.OK, f"it ended with {answer.code.name} ({answer.text})")
    listed = {info.name: info for page in pages for info in page.files}
    inhabited = {name[: at + 1] for name in listed for at, character in enumerate(name) if character == "/"}
    for prefix in (prefix for page in pages for prefix in page.prefixes):
        must(prefix.endswith("/"), f"the prefix {prefix!r} does not end in /")
        must(prefix not in inhabited, f"{prefix!r} is listed as an empty directory, and something is in it")
    must(probe.name in listed, f"{probe.name} is not in it")
    info, _ = await probe.stat(probe.name)
    must(info is not None and listed[probe.name].revision == info.revision, "it gives another revision than StatFile")


@POINTS.add("list-level", "a listing of one level has the files there, and what is below as prefixes that end in /")
async def _list_level(probe: Probe) -> None:
    parent = probe.name.rpartition("/")[0]
    pages, answer = await probe.list(prefix=parent)
    must(answer.code is grpc.StatusCode.OK, f"it ended with {answer.code.name} ({answer.text})")
    names = [info.name for page in pages for info in page.files]
    below = f"{parent}/" if parent else ""
    must(probe.name in names, f"{probe.name} is not in it")
    must(all("/" not in name.removeprefix(below) for name in names), "it has files from further below")
    prefixes = [prefix for page in pages for prefix in page.prefixes]
    must(all(prefix.endswith("/") and prefix.startswith(below) for prefix in prefixes), "a prefix does not end in /")


@POINTS.add("list-empty", "an empty prefix is everything: the file is in it, if recursive")
async def _list_empty(probe: Probe) -> None:
    pages, answer = await probe.list(prefix="", recursive=True)
    must(answer.code is grpc.StatusCode.OK, f"it ended with {answer.code.name} ({answer.text})")
    must(any(info.name == probe.name for page in pages for info in page.files), f"{probe.name} is not in it")


@POINTS.add(
    "list-slash", "one trailing slash of a prefix is ignored; a slash alone, or two, are INVALID_ARGUMENT, INVALID_NAME"
)
async def _list_slash(probe: Probe) -> None:
    for prefix in filter(None, (probe.name, probe.name.rpartition("/")[0])):
        for recursive in (False, True):
            plain = await probe.entries(prefix=prefix, recursive=recursive)
            slashed = await probe.entries(prefix=f"{prefix}/", recursive=recursive)
            must(plain == slashed, f"{prefix!r} lists {len(plain)} entries, with a slash {len(slashed)}, or others")
    for prefix in ("/", f"{probe.name}//", f"/{probe.name}"):
        await probe.refused((await probe.list(prefix=prefix))[1], grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME")


@POINTS.add("list-names", "every name in a listing keeps the rules for names, and every prefix, but for its slash at the end")
async def _list_names(probe: Probe) -> None:
    for recursive in (False, True):
        for entry in await probe.entries(recursive=recursive):
            try:
                check_prefix(entry)
            except InvalidNameError as error:
                raise PointFailedError(f"it has a name that is none: {error}") from None


@POINTS.add("list-not-found", "FILE_NOT_FOUND of a listing comes before any entry")
async def _list_not_found(probe: Probe) -> None:
    for prefix in ("no-such-file-anywhere", f"{probe.name}/below-a-file"):
        pages, answer = await probe.list(prefix=prefix, recursive=True)
        must(not any(page.files or page.prefixes for page in pages), f"{prefix} has entries")
        await probe.refused(answer, grpc.StatusCode.NOT_FOUND, "FILE_NOT_FOUND")


@POINTS.add("list-omitted", "what a listing leaves out is told with a reason, not listed too, and by 100 names a page at most")
async def _list_omitted(probe: Probe) -> None:
    pages, answer = await probe.list(recursive=True)
    must(answer.code is grpc.StatusCode.OK, f"it ended with {answer.code.name} ({answer.text})")
    omitted = [omission for page in pages for omission in page.omitted]
    must(all(omission.reason for omission in omitted), "there is no reason for an omission")
    must(all(omission.count >= 0 for omission in omitted), "a number of names is negative")
    must(all(omission.count <= 1 for omission in omitted if omission.name), "one name stands for several")
    listed = {info.name for page in pages for info in page.files}
    must(not any(omission.name in listed for omission in omitted), "a name is listed, and left out as well")
    most = max((sum(bool(omission.name) for omission in page.omitted) for page in pages), default=0)
    must(most <= NAMED, f"a page gives {most} names")


@POINTS.add("list-pages", "pages are not larger than asked for")
async def _list_pages(probe: Probe) -> None:
    pages, answer = await probe.list(recursive=True, page_size=1)
    must(answer.code is grpc.StatusCode.OK, f"it ended with {answer.code.name} ({answer.text})")
    largest = max((len(page.files) + len(page.prefixes) for page in pages), default=0)
    must(largest <= 1, f"asked for pages of one entry, got one of {largest}")


@POINTS.add("list-file", "a listing of a file's name is that file")
async def _list_file(probe: Probe) -> None:
    pages, answer = await probe.list(prefix=probe.name)
    must(answer.code is grpc.StatusCode.OK, f"it ended with {answer.code.name} ({answer.text})")
    names = [info.name for page in pages for info in page.files]
    must(names == [probe.name], f"it has {names[:3]}")


@POINTS.add("leave", "a client that leaves in the middle is no trouble, and the next one is answered")
async def _leave(probe: Probe) -> None:
    for _ in range(_CALLS_AT_ONCE):
        read: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = probe.channel.unary_stream(f"/{SERVICE}/ReadFile")
        call = read(pb.ReadFileRequest(name=probe.name).SerializeToString())
        await call.read()
        call.cancel()
    must((await probe.read(length=1)).code is grpc.StatusCode.OK, "the server does not answer any more")


@POINTS.add("at-once", "reads at the same time do not get in each other's way")
async def _at_once(probe: Probe) -> None:
    whole = (await probe.read()).data
    answers = await asyncio.gather(*(probe.read(start=number % probe.size) for number in range(_CALLS_AT_ONCE)))
    for number, answer in enumerate(answers):
        must(answer.data == whole[number % probe.size :], "one of them got other bytes")
