"""The rows of a tree's record: what they say is what was written, whatever happens to them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from unspool.core.checksum import crc32c
from unspool.core.model import Attributes, FileInfo
from unspool.core.tree import FetchNeed, Local, Recorded, fetch_need, lacks
from unspool.core.treerecord import OWNER, decode_owner, decode_row, encode_owner, encode_row, key_of, vouches

TEXT = st.text(max_size=12)
NUMBERS = st.integers(-(1 << 70), 1 << 70)
TOLD = st.builds(Attributes, st.none() | NUMBERS, executable=st.none() | st.booleans())
KEPT = st.builds(Recorded, TEXT, NUMBERS, NUMBERS, NUMBERS, NUMBERS, TOLD)


@given(TEXT, KEPT)
def test_what_was_written_is_read(name: str, recorded: Recorded) -> None:
    """Every row comes back as it was, whatever names and revisions are made of."""
    key, said = encode_row(name, recorded)
    assert key == key_of(name)
    assert decode_row(key, said) == recorded


@given(TEXT, TEXT)
def test_each_name_has_a_key_of_its_own(name: str, other: str) -> None:
    """Two names never have one key, also such as are no UTF-8."""
    assert (key_of(name) == key_of(other)) == (name == other)


@given(TEXT, KEPT, st.data())
def test_damage_makes_a_file_unknown_and_never_wrong(name: str, recorded: Recorded, data: st.DataObject) -> None:
    """A row of which any byte was changed, or that was cut anywhere, says nothing."""
    key, said = encode_row(name, recorded)
    raw = bytearray(key + said)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert decode_row(bytes(raw[: len(key)]), bytes(raw[len(key) :])) is None
    assert decode_row(key, said[: data.draw(st.integers(0, len(said) - 1))]) is None


@given(TEXT, TEXT, KEPT)
def test_a_row_says_nothing_of_another_file(name: str, other: str, recorded: Recorded) -> None:
    """What is said of one name is not believed of another, wherever the one ends and the other begins."""
    assume(name != other)
    key, said = encode_row(name, recorded)
    assert decode_row(key_of(other), said) is None
    assert all(decode_row(key[:cut], key[cut:] + said) is None for cut in range(len(key)))


FEW = st.integers(0, 1)
FEW_GIVEN = st.builds(Attributes, st.none() | FEW, executable=st.none() | st.booleans())


@given(
    st.builds(Recorded, st.sampled_from("rs"), FEW, FEW, FEW, FEW, FEW_GIVEN),
    st.builds(FileInfo, st.just("a"), FEW, st.sampled_from("rs"), FEW_GIVEN, st.none() | FEW),
    st.builds(Local, FEW, FEW, FEW, st.booleans()),
)
def test_a_row_vouches_only_for_what_need_not_be_fetched(recorded: Recorded, info: FileInfo, local: Local) -> None:
    """A row that vouches for a file without being decoded says, when decoded, that the file is here and lacks nothing."""
    if vouches(*encode_row("a", recorded), info, local):
        assert fetch_need(info, recorded, local) == (FetchNeed.NOTHING, None)
        assert not lacks(info.attributes, recorded, local)


@given(KEPT, st.data())
def test_a_row_vouches_for_the_very_file_and_no_other(recorded: Recorded, data: st.DataObject) -> None:
    """The row of a file that is here as it was recorded vouches for it; damaged, or with another name, it does not."""
    checksum = data.draw(st.sampled_from([None, recorded.crc32c]))
    info = FileInfo("a", recorded.size, recorded.revision, recorded.given, checksum)
    local = Local(recorded.size, recorded.modified_ns, recorded.inode, executable=recorded.given.executable is True)
    key, value = encode_row("a", recorded)
    assert vouches(key, value, info, local)
    assert not vouches(b"b", value, info, local)
    at = data.draw(st.integers(0, len(value) - 1))
    damaged = value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
    assert not vouches(key, damaged, info, local)
    assert not vouches(key, value, replace(info, crc32c=recorded.crc32c + 1), local)


@pytest.mark.parametrize("said", [None, 17, 1.5, "text", b"", b"abc"])
def test_what_is_no_row_says_nothing(said: object) -> None:
    """Whatever else a database may hold in a row's place is not believed."""
    assert decode_row(b"a", said) is None
    assert not vouches(b"a", said, FileInfo("a", 0, ""), Local(0, 0, 0))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"1 2 3 4 r",  # version 1
        b"1 2 3 4 5 1",
        b"1 2 3 4 5 2 r",
        b"1 2 3 4 5  r",
        b"1 2 3 - 5 1 r",
        b"1 2 3 x 5 1 r",
        b"1 2 3 4 5 1 \xff",
        b'["r",1,2,3,4]',
        b"9" * 5000 + b" 2 3 4 5 1 r",
    ],
)
def test_rows_that_make_no_sense_are_no_rows(said: bytes) -> None:
    """A row with the right checksum and the wrong kind of fields says nothing, whoever wrote it."""

    def sealed(said: bytes) -> bytes:
        return crc32c(b"1 a" + said).to_bytes(4, "big") + said

    assert decode_row(b"a", sealed(said)) is None
    assert decode_row(b"a", sealed(b"1 2 3 4 - 1 r 5")) == Recorded("r 5", 1, 2, 3, 4, Attributes(executable=True))


PATHS = st.text(st.characters(blacklist_categories=[]), max_size=12)


@given(TEXT.filter(lambda text: "\n" not in text), PATHS, TEXT, KEPT)
def test_an_owner_is_read_as_written_and_is_no_file(source: str, directory: str, name: str, recorded: Recorded) -> None:
    """The row of the owner comes back as it was; it says nothing of a file, and no file's row names an owner."""
    key, said = encode_owner(source, directory)
    assert key == OWNER == key_of("")
    assert decode_owner(said) == (source, directory)
    assert decode_row(key, said) is None
    assert decode_owner(encode_row(name, recorded)[1]) is None
    assert decode_owner(encode_row("", recorded)[1]) is None
    assert decode_owner(None) is None


@given(PATHS, st.data())
def test_a_damaged_owner_is_nobody(directory: str, data: st.DataObject) -> None:
    """A row of the owner of which any byte was changed names nobody."""
    _, said = encode_owner("host:1", directory)
    raw = bytearray(said)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    assert decode_owner(bytes(raw)) is None


def test_an_owner_that_is_no_text_is_none() -> None:
    """A row with a right checksum that another program wrote says nothing."""
    said = b"\x80"
    assert decode_owner(crc32c(b"%d %b%b" % (len(OWNER), OWNER, said)).to_bytes(4, "big") + said) is None
