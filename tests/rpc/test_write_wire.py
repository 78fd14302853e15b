"""The messages of uploads and of batches of small files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.models import file_infos, sizes, uint32s
from unspool.core.model import Attributes, Block, FileInfo, Span
from unspool.core.segments import MAX_SEGMENTS
from unspool.core.uploading import (
    ANYTHING,
    IF_ABSENT,
    Condition,
    DeleteRequest,
    GoodSpan,
    NewFile,
    UploadAnswer,
    UploadCommit,
    UploadCommitted,
    UploadOpen,
    UploadOpened,
    UploadProgress,
    UploadRefused,
    UploadRequest,
)
from unspool.errors import FileMismatchError, NoSpaceError, ProtocolError, TakenOverError
from unspool.rpc import deletewire, wire, writewire
from unspool.rpc.entrylimits import MOST_ENTRIES

TEXT = st.text(max_size=20)
SPANS = st.lists(st.integers(0, 1 << 40), min_size=2, max_size=8, unique=True).map(
    lambda edges: [Span(start, stop) for start, stop in zip(*[iter(sorted(edges))] * 2, strict=False)]
)
GOOD = st.tuples(SPANS, uint32s).map(lambda both: tuple([GoodSpan(span, both[1]) for span in both[0]]))
CONDITIONS = st.sampled_from([ANYTHING, IF_ABSENT]) | st.builds(Condition, revision=TEXT)
ATTRIBUTES = st.builds(Attributes, st.none() | st.integers(-(10**18), 10**18), TEXT, st.none() | st.booleans())
OPENS = st.builds(
    UploadOpen,
    st.binary(min_size=16, max_size=16),
    TEXT,
    CONDITIONS,
    st.none() | sizes,
    st.none() | uint32s,
    st.none() | st.binary(min_size=32, max_size=32),
    ATTRIBUTES,
    SPANS.map(tuple),
    TEXT,
    st.integers(0, 1000),
)
BLOCKS = st.builds(Block, sizes, st.binary(min_size=1, max_size=50), uint32s)
REQUESTS = st.builds(UploadRequest, st.none() | OPENS, st.none() | BLOCKS, st.none() | st.builds(UploadCommit, sizes, uint32s))
SECONDS = st.none() | st.integers(0, 1 << 30).map(lambda steps: steps / 512)
OPENED = st.builds(UploadOpened, GOOD, st.integers(1, 1 << 30), SECONDS)
COMMITTED = st.builds(UploadCommitted, file_infos)
ANSWERS = st.none() | OPENED | COMMITTED | st.builds(UploadProgress, sizes, sizes)
DELETIONS = st.builds(DeleteRequest, TEXT, st.none() | TEXT, TEXT, st.integers(0, 1000))
NEW = st.builds(NewFile, TEXT, st.binary(max_size=50), uint32s, CONDITIONS, ATTRIBUTES)


@given(REQUESTS)
def test_requests_are_read_as_they_were_written(request: UploadRequest) -> None:
    """Every part and field of a message to the server comes back as it was."""
    assert writewire.decode_upload_request(writewire.encode_upload_request(request)) == request


@given(ANSWERS)
def test_answers_are_read_as_they_were_written(answer: UploadAnswer) -> None:
    """So do those of an answer."""
    assert writewire.decode_upload_answer(writewire.encode_upload_answer(answer), name="a") == answer


@given(GOOD)
def test_a_refusal_keeps_its_class_and_spans(good: tuple[GoodSpan, ...]) -> None:
    """A refusal comes back as the same error, with what the server has."""
    for kind in (TakenOverError, NoSpaceError, FileMismatchError):
        read = writewire.decode_upload_answer(writewire.encode_upload_answer(UploadRefused(kind("why"), good)), name="a")
        assert isinstance(read, UploadRefused)
        assert (type(read.error), str(read.error), read.error.name, read.good) == (kind, "why", "a", good)


@given(st.none() | OPENED | COMMITTED)
def test_states_are_read_as_they_were_written(state: UploadOpened | UploadCommitted | None) -> None:
    """The answer of StatUpload comes back as it was."""
    assert writewire.decode_upload_state(writewire.encode_upload_state(state), name="a") == state


@given(st.lists(NEW, max_size=4), TEXT, st.integers(0, 1000))
def test_small_files_are_read_as_they_were_written(files: list[NewFile], transfer_id: str, attempt: int) -> None:
    """The files of a batch come back as they were, and so does whose transfer it is."""
    written = writewire.encode_new_files(files, transfer_id=transfer_id, attempt=attempt)
    assert writewire.decode_new_files(written) == tuple(files)
    assert writewire.decode_transfer(written) == (transfer_id, attempt)


def test_a_refusal_of_the_largest_file_is_short_enough() -> None:
    """A file of a known size has so few segments that a refusal which names each of them is taken."""
    size = 1 << 58
    good = tuple([GoodSpan(Span(at * size, (at + 1) * size), 0xFFFFFFFF) for at in range(16)]) * (MAX_SEGMENTS // 16)
    assert len(writewire.encode_upload_answer(UploadRefused(FileMismatchError("a" * 1000), good))) < 300_000


def test_answers_with_very_many_entries_are_refused_unparsed() -> None:
    """An answer with a million spans, or results, takes no memory for them."""
    spans = b"\x0a\x00" * 1_000_000
    opened = b"\x0a" + wire.varint(len(spans)) + spans
    for decode in (writewire.decode_upload_answer, writewire.decode_upload_state):
        with pytest.raises(ProtocolError, match="a: the server answers 2000004 bytes: at most"):
            decode(opened, name="a")
    with pytest.raises(ProtocolError, match=f"{2 * MOST_ENTRIES + 1} entries or more"):
        writewire.decode_written(b"\x0a\x00" * 1_000_000, ["a"])


@given(DELETIONS, file_infos)
def test_a_deletion_comes_back(request: DeleteRequest, info: FileInfo) -> None:
    """What is asked, and what was deleted. A revision that is empty is none that is absent."""
    assert deletewire.decode_delete_request(deletewire.encode_delete_request(request)) == request
    assert deletewire.decode_deleted(deletewire.encode_deleted(info)) == info


def test_an_answer_to_a_deletion_describes_a_file() -> None:
    """An answer without a file, and one that is no message, is no answer."""
    for data in (b"", b"\xff"):
        with pytest.raises(ProtocolError):
            deletewire.decode_deleted(data)
