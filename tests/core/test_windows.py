"""How much calls may receive ahead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.windows import FEW, LEAST, SHARED, window


@pytest.mark.parametrize("running", range(FEW))
def test_few_calls_leave_it_to_grpc(running: int) -> None:
    """While few calls run, a new connection has no window of ours."""
    assert window(running, None) is None


@given(st.integers(FEW, 100_000))
def test_many_calls_share(running: int) -> None:
    """While many run, a new connection has the share of one call, or the least there is."""
    assert window(running, None) == max(SHARED // (running + 1), LEAST)


@given(st.integers(FEW, 2000))
def test_all_together_stay_bounded(most: int) -> None:
    """Of calls that begin one after another on connections of their own, those with a window receive little ahead in all."""
    windows = [window(running, None) or 0 for running in range(most)]
    assert sum(windows) <= SHARED * 4 + LEAST * most


@given(st.integers(FEW, 2000), st.integers(FEW, 2000))
def test_a_connection_is_kept_while_it_is_about_right(before: int, now: int) -> None:
    """The window of a connection that is used again is at most twice, and at least half, of what a new one would have."""
    present = window(before, None)
    share = window(now, None)
    kept = window(now, present)
    assert present is not None
    assert share is not None
    assert kept is not None
    assert share // 2 <= kept <= 2 * share
    assert kept in (present, share)


def test_grpc_decides_again_when_most_calls_have_ended() -> None:
    """A window lasts while about as many calls run, and ends when only half of the few are left."""
    present = window(FEW, None)
    assert window(FEW - 1, present) == present
    assert window(FEW // 2 - 1, present) is None
