"""CRC32C: the published vectors, and the law that joins runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unspool.core import checksum
from unspool.core.checksum import combine, crc32c

READ_COMMAND = bytes.fromhex(
    "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000"
)

# RFC 3720 writes the bytes of the checksum in the order in which they are sent, the least significant first.
RFC_3720_B4 = {
    "32 bytes of zeroes": (bytes(32), "aa36918a"),
    "32 bytes of ones": (b"\xff" * 32, "43aba862"),
    "32 bytes incrementing": (bytes(range(32)), "4e79dd46"),
    "32 bytes decrementing": (bytes(reversed(range(32))), "5cdb3f11"),
    "an iSCSI read command": (READ_COMMAND, "563a96d9"),
}


@pytest.mark.parametrize(("data", "sent"), RFC_3720_B4.values(), ids=RFC_3720_B4)
def test_the_published_vectors(data: bytes, sent: str) -> None:
    """The checksum is the Castagnoli CRC of RFC 3720, appendix B.4, and nothing else that is called CRC32."""
    assert crc32c(data) == int.from_bytes(bytes.fromhex(sent), "little")
    assert crc32c(memoryview(data)) == crc32c(data)


def test_the_check_value() -> None:
    """The check value that catalogues of CRCs list for this one."""
    assert crc32c(b"123456789") == 0xE3069283


runs = st.binary(max_size=200)


@given(runs, runs)
def test_a_whole_is_summed_in_parts_or_combined(first: bytes, second: bytes) -> None:
    """Going on from a checksum, and combining two, both give the checksum of the runs joined."""
    whole = crc32c(first + second)
    assert crc32c(second, crc32c(first)) == whole
    assert combine(crc32c(first), crc32c(second), len(second)) == whole


checksums = st.integers(0, 2**32 - 1)
lengths = st.integers(0, 2**62)


@given(checksums, checksums, checksums, lengths, lengths)
@example(1, 2, 3, 2**62, 2**62)
def test_runs_may_be_joined_in_any_order(a: int, b: int, c: int, b_length: int, c_length: int) -> None:
    """Joining is associative, for runs of any length a file can have: first the left pair or first the right."""
    left = combine(combine(a, b, b_length), c, c_length)
    right = combine(a, combine(b, c, c_length), b_length + c_length)
    # An empty run has checksum 0; with any other the law would not be about runs.
    if b_length and c_length:
        assert left == right
        assert 0 <= left < 2**32


@given(checksums)
def test_an_empty_run_changes_nothing(checksum: int) -> None:
    """The empty run has checksum 0, and joining it on either side leaves the other as it is."""
    assert crc32c(b"") == 0
    assert combine(checksum, 0, 0) == checksum
    assert combine(0, checksum, 5) == checksum


@given(checksums, st.integers(0, 62))
def test_lengths_beyond_memory_add_up(checksum: int, doublings: int) -> None:
    """Appending n zero bytes twice equals appending 2n at once, also for lengths that are too large to compute byte by byte."""
    length = 2**doublings
    zeroes = combine(0, crc32c(b"\0"), 1)
    for doubling in range(doublings):
        zeroes = combine(zeroes, zeroes, 2**doubling)
    twice = combine(combine(checksum, zeroes, length), zeroes, length)
    assert twice == combine(checksum, combine(zeroes, zeroes, length), 2 * length)
    if length <= 2**16:
        assert zeroes == crc32c(bytes(length))


def test_the_compiled_module_is_loaded_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, whose import reads metadata, is imported only where the compiled module cannot be found, or is there."""
    assert "importlib.metadata" not in modules_after("import unspool.core.checksum")
    assert modules_after("import unspool.core.checksum, crc32c; assert crc32c.crc32c is unspool.core.checksum._crc32c")
    import crc32c as package  # noqa: PLC0415 - as others import it

    assert checksum.extension() is package
    assert checksum.extension(module="crc32c._other") is package
    with pytest.raises(ModuleNotFoundError):
        checksum.extension("no_such_package")


def modules_after(statement: str) -> set[str]:
    """Return the modules that are loaded after a statement in a new process."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())
