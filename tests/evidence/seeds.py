"""Seeds: always the same ones, spread over the workers; or a single one to repeat a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

DEEP = bool(os.environ.get("UNSPOOL_TEST_DEEP"))

_ONE = os.environ.get("UNSPOOL_TEST_SEED")


def shards(normal: int, deep: int, size: int) -> list[range]:
    """Return the seeds, for the normal or the long form, in ranges of `size`; or the single one that is requested."""
    if _ONE is not None:
        return [range(int(_ONE), int(_ONE) + 1)]
    count = deep if DEEP else normal
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


@contextmanager
def repeatable(seed: int, test: str) -> Iterator[None]:
    """Add to a failure how to repeat it; `test` is the file, and the function after `::`."""
    try:
        yield
    except Exception as error:
        error.add_note(f"to repeat it: UNSPOOL_TEST_SEED={seed} .venv/bin/pytest -n 0 tests/evidence/{test}")
        raise
    except pytest.fail.Exception as error:
        error.add_note(f"to repeat it: UNSPOOL_TEST_SEED={seed} .venv/bin/pytest -n 0 tests/evidence/{test}")
        raise
