"""Readers of foreign bytes: whatever comes, they read it or refuse it as they say, and their laws hold."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.readers import READERS, Reader

CORPUS = Path(__file__).with_name("corpus")

EXAMPLES = int(os.environ.get("UNSPOOL_FUZZ_EXAMPLES", "0"))
"""Examples for each reader where `make fuzz` asks for many; otherwise the profile says how many."""

MANY = settings(max_examples=EXAMPLES or 100, derandomize=False, suppress_health_check=list(HealthCheck))


def attempt(reader: Reader, data: bytes) -> None:
    """Read; an error that the reader may raise is an answer."""
    with suppress(*reader.refuses):
        reader.read(data)


def seeds(name: str) -> list[bytes]:
    """Return the corpus of a reader."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


@st.composite
def mutated(draw: st.DrawFn, corpus: list[bytes]) -> bytes:
    """Draw bytes of the corpus, cut, joined, and changed in a few places."""
    data = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("set", "insert", "cut", "splice", "double"))):
            case "set":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                data[at:at] = draw(st.binary(max_size=12))
            case "cut":
                del data[at : at + draw(st.integers(1, 20))]
            case "splice":
                data[at:] = draw(st.sampled_from(corpus))[draw(st.integers(0, 50)) :]
            case _:
                data[at:at] = data[:at]
    return bytes(data[:100_000])


@pytest.mark.parametrize("name", READERS)
def test_the_corpus_is_read_or_refused(name: str) -> None:
    """Every input that was ever of interest; and there is a good one, which is taken."""
    reader, taken = READERS[name], 0
    for data in seeds(name):
        with suppress(*reader.refuses):
            reader.read(data)
            taken += 1
    assert taken


@pytest.mark.timeout(0 if EXAMPLES else 120)
@pytest.mark.parametrize("name", READERS)
def test_what_is_nearly_right_is_read_or_refused(name: str) -> None:
    """Bytes of the corpus with a few changes, and any bytes at all."""
    reader = READERS[name]

    @(MANY if EXAMPLES else settings())
    @given(
        mutated(seeds(name)) | st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode(errors="replace"))
    )
    def law(data: bytes) -> None:
        attempt(reader, data)

    law()


def test_every_reader_has_a_corpus_and_every_corpus_a_reader() -> None:
    """A directory for each."""
    assert {path.name for path in CORPUS.iterdir()} == set(READERS)
