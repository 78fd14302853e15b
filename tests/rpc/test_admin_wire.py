"""The messages of `unspool.v1.AdminService`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unspool.core.running import MOST_CALLS, Running, RunningCall
from unspool.errors import InvalidRequestError, ProtocolError
from unspool.rpc.adminwire import decode_running, decode_watch_request, encode_running, encode_watch_request

TEXT = st.text(max_size=20)
COUNT = st.integers(0, 1 << 40)
CALLS = st.builds(
    RunningCall,
    id=TEXT,
    method=TEXT,
    name=TEXT,
    files=COUNT,
    files_begun=COUNT,
    principal=TEXT,
    peer=TEXT,
    transfer_id=TEXT,
    attempt=st.integers(0, 1000),
    seconds=st.integers(0, 1 << 30).map(lambda steps: steps / 512),
    start=COUNT,
    length=st.none() | COUNT,
    sent=COUNT,
    rate=st.floats(0, 1e12),
    stalled=st.booleans(),
)


@given(calls=st.lists(CALLS, max_size=3), left_out=COUNT, silent=st.integers(0, 9))
def test_what_is_written_is_read_alike(calls: list[RunningCall], left_out: int, silent: int) -> None:
    """Every field comes back as it was."""
    running = Running(tuple(calls), left_out, 10, silent)
    assert decode_running(encode_running(running)) == running


def test_the_longest_answer_fits_into_a_message() -> None:
    """With the longest texts, and characters of four bytes, an answer stays below gRPC's limit of 4 MiB."""
    text, many = "\N{GRINNING FACE}" * 300, 1 << 62
    call = RunningCall("9" * 24, "QueryWriteStatus", text, many, many, text, "ipv6:" + "a" * 60, text, 1 << 30, 1e9)
    assert len(encode_running(Running((call,) * MOST_CALLS))) < 4 << 20


@pytest.mark.parametrize(("asked", "taken"), [(None, None), (0.0, 0.5), (2.25, 2.25), (3600.0, 60.0)])
def test_an_interval_is_kept_within_bounds(asked: float | None, taken: float | None) -> None:
    """No interval is one answer; a very short or long one is taken as the shortest or the longest."""
    assert decode_watch_request(encode_watch_request(asked)) == taken


def test_what_makes_no_sense_is_refused() -> None:
    """Bytes that are no message, and a negative interval, are errors of who sent them."""
    with pytest.raises(InvalidRequestError, match="not a WatchCallsRequest"):
        decode_watch_request(b"\xff")
    with pytest.raises(InvalidRequestError, match="must not be negative"):
        decode_watch_request(encode_watch_request(-0.5))
    with pytest.raises(ProtocolError, match="not a WatchCallsResponse"):
        decode_running(b"\xff")
