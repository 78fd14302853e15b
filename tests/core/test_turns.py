"""Whose turn it is: the laws of fair sharing."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.turns import Queue

STEPS = st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=80)
"""The peers whose items are added, in order; None takes the next item."""


def add(queue: Queue[tuple[str, int]], waiting: list[tuple[str, int]], peer: str, number: int) -> None:
    """Add an item to the queue, and to the list that it is compared with."""
    queue.add(peer, (peer, number))
    waiting.append((peer, number))


@given(STEPS)
def test_no_peer_is_passed_over_twice_by_another(steps: list[str | None]) -> None:
    """While a peer has an item in the queue, any other peer gets at most one turn before that peer's next."""
    queue: Queue[tuple[str, int]] = Queue()
    waiting: list[tuple[str, int]] = []
    passed_over: dict[str, Counter[str]] = {}
    for number, step in enumerate(steps + [None] * len(steps)):
        if step is not None:
            add(queue, waiting, step, number)
            passed_over.setdefault(step, Counter())
        elif waiting:
            peer, _ = one = queue.next()
            waiting.remove(one)
            del passed_over[peer]
            for others in passed_over.values():
                others[peer] += 1
                assert others[peer] == 1
            if any(other == peer for other, _ in waiting):
                passed_over[peer] = Counter()
    assert not waiting


@given(STEPS)
def test_of_one_peer_the_first_to_come_is_the_first_to_go(steps: list[str | None]) -> None:
    """Each turn goes to the peer's oldest item, and every item gets a turn."""
    queue: Queue[tuple[str, int]] = Queue()
    waiting: list[tuple[str, int]] = []
    for number, step in enumerate(steps + [None] * len(steps)):
        assert bool(queue) == bool(waiting)
        if step is not None:
            add(queue, waiting, step, number)
        elif waiting:
            one = queue.next()
            assert one == next(other for other in waiting if other[0] == one[0])
            waiting.remove(one)
    assert not queue


@given(STEPS, st.data())
def test_who_does_not_wait_any_more_is_no_longer_there(steps: list[str | None], data: st.DataObject) -> None:
    """A removed item gets no turn, all others get theirs, and removing an item that is not there changes nothing."""
    queue: Queue[tuple[str, int]] = Queue()
    waiting: list[tuple[str, int]] = []
    for number, step in enumerate(steps):
        if step is not None:
            add(queue, waiting, step, number)
        elif waiting:
            one = data.draw(st.sampled_from(waiting))
            queue.remove(one[0], one)
            queue.remove(one[0], one)
            waiting.remove(one)
    got = [queue.next() for _ in waiting]
    assert sorted(got) == sorted(waiting)
    assert not queue
