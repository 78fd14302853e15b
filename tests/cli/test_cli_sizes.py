"""Sizes with units, wherever the command line takes bytes."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.serveddir import Served
from processes import unspool
from unspool.cli import main
from unspool.cli.sizes import Size, write_size

SIZE = Size()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65536),
        ("7B", 7),
        ("64K", 64 << 10),
        ("64k", 64 << 10),
        ("64Ki", 64 << 10),
        ("64KiB", 64 << 10),
        ("8M", 8 << 20),
        ("1.5G", 3 << 29),
        ("2 GiB", 2 << 30),
        ("1T", 1 << 40),
        ("0.0001K", 0),
        ("8388607T", 8388607 << 40),
        (str((1 << 63) - 1), (1 << 63) - 1),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(text: str, size: int) -> None:
    """Units are powers of 1024, in any case; fractions of a byte are cut off."""
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1e3", "1.", ".5M", "0x10", "1,5M", "\u0661M", "5X", "1KM", "9" * 5000, "nan"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    """Anything else is refused, with an example of a valid size."""
    with pytest.raises(click.BadParameter, match="is not a size: write bytes, or a number with K, M, G or T"):
        SIZE.convert(text, None, None)


@pytest.mark.parametrize("text", ["8MB", "8 mb", "1.5kB", "1TB"])
def test_units_that_mean_two_things_are_refused(text: str) -> None:
    """KB, MB and the like are powers of 1000 in some programs: they are refused, and the message says what to write."""
    with pytest.raises(click.BadParameter, match=r"powers of 1000 or of 1024: write [KMT] or [KMT]iB"):
        SIZE.convert(text, None, None)


@pytest.mark.parametrize(("text", "words"), [("9", "too small: the least is 10"), ("2K", "too large: the most is 1K")])
def test_bounds_are_told(text: str, words: str) -> None:
    """A size outside its limits is refused, and the limit is named."""
    with pytest.raises(click.BadParameter, match=words):
        Size(10, 1024).convert(text, None, None)


def test_what_no_protocol_can_say_is_too_large() -> None:
    """A size of more than 63 bits is refused on the command line and never reaches the protocol."""
    with pytest.raises(click.BadParameter, match="too large"):
        SIZE.convert("8388608T", None, None)


@given(st.integers(0, (1 << 63) - 1))
def test_what_is_written_is_read_back(size: int) -> None:
    """A formatted size is parsed as the same number of bytes."""
    assert SIZE.convert(write_size(size), None, None) == size


@given(st.integers(0, 1000), st.integers(0, 999), st.sampled_from("KMGT"))
def test_a_size_with_a_fraction_is_exact(whole: int, thousandths: int, unit: str) -> None:
    """A fraction is computed exactly and cut to whole bytes."""
    step = 1024 ** ("KMGT".index(unit) + 1)
    assert SIZE.convert(f"{whole}.{thousandths:03}{unit}", None, None) == (whole * 1000 + thousandths) * step // 1000


def test_bytes_are_asked_for_as_sizes_everywhere() -> None:
    """Every option for bytes accepts units."""
    sizes = {
        f"{name} {option.opts[0]}"
        for name, command in main.every_command.items()
        for option in command.params
        if isinstance(option.type, Size)
    }
    assert sizes >= {
        "serve --block-size",
        "serve --max-block-size",
        "serve --max-stream-bandwidth",
        "serve --max-bandwidth",
        "cat --offset",
        "cat --length",
        "demo --size",
    }


def test_cat_takes_units(served: Served) -> None:
    """`cat --offset 1K --length 0.5K` writes just that span."""
    done = unspool("cat", "--offset", "1K", "--length", "0.5K", served.url("sub/data.bin"))
    assert (done.code, done.out) == (0, served.files["sub/data.bin"][1024:1536])


def test_a_size_that_is_none_is_a_usage_error(served: Served) -> None:
    """An invalid size is exit 2, and the message names the option."""
    done = unspool("cat", "--offset", "1MB", served.url("hello.txt"))
    assert done.code == 2
    assert "--offset" in done.err
    assert "write M or MiB" in done.err
