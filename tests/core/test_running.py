"""The calls that a server is answering: rates, stalls, and what several processes say together."""

from __future__ import annotations

from dataclasses import replace

from unspool.core.running import MOST_CALLS, Movement, Running, RunningCall, merge_running

CALL = RunningCall("1-1", "ReadFile")


def test_a_rate_is_that_of_the_last_looks() -> None:
    """The first look makes the rate; later ones change it more the newer they are, and two at one time change nothing."""
    movement = Movement(10.0, stalls=True)
    assert (movement.rate, movement.look(10.0, 0), movement.rate) == (0.0, False, 0.0)
    rates = []
    for now, sent in ((12.0, 2000), (13.0, 5000), (13.0, 5000), (14.0, 5000)):
        movement.look(now, sent)
        rates.append(movement.rate)
    assert rates == [1000, 2000, 2000, 1000]


def test_ten_seconds_without_a_byte_are_one_stall() -> None:
    """A call stalls once for each time without bytes; one that sends none never does."""
    movement, listing = Movement(0.0, stalls=True), Movement(0.0, stalls=False)
    looks = [(5.0, 100), (14.9, 100), (15.0, 100), (40.0, 100), (41.0, 101), (51.0, 101)]
    assert [movement.look(*look) for look in looks] == [False, False, True, False, False, True]
    assert movement.stalled
    assert not any(listing.look(*look) for look in looks)


def test_what_several_processes_say_is_one_answer() -> None:
    """Calls of all are in one list, the oldest first; what did not answer is counted."""
    young, old = replace(CALL, id="1-2", seconds=1.0), replace(CALL, id="2-1", seconds=5.0)
    said = merge_running([Running((young,), 1), None, Running((old,), 2)])
    assert said == Running((old, young), left_out=3, workers=3, silent=1)


def test_an_answer_has_so_many_calls_and_no_more() -> None:
    """What is too much for a message is counted."""
    calls = tuple(replace(CALL, id=f"1-{number}") for number in range(MOST_CALLS + 2))
    limited = Running(calls, left_out=1, workers=2, silent=1).limited()
    assert limited == Running(calls[:MOST_CALLS], left_out=3, workers=2, silent=1)
    assert limited.limited() == limited
