"""Bytes that are sent again, and reads that go on where another one broke off."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.resent import Ledger, Read


def read(start: int, stop: int, *, broken: bool = True, began: float = 0, ended: float = 1, transfer: str = "t") -> Read:
    """A read that ended."""
    return Read(transfer, start, stop, broken, began, ended)


SPANS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)


@given(st.lists(st.tuples(st.sampled_from("ab"), SPANS), max_size=20))
def test_a_byte_counts_each_time_that_it_is_sent_after_the_first(reads: list[tuple[str, list[int]]]) -> None:
    """What is sent again adds up to all bytes sent less the different bytes of each transfer, in any order of reads."""
    ledger = Ledger()
    again = sum(ledger.add(read(start, stop, transfer=transfer))[0] for transfer, (start, stop) in reads)
    sent = [(transfer, byte) for transfer, (start, stop) in reads for byte in range(start, stop)]
    assert again == len(sent) - len(set(sent))


def test_an_attempt_that_goes_on_resumes() -> None:
    """A read that begins where an earlier one broke off, or before that among its bytes, is a resume; others are not."""
    for start, resumes in ((0, 1), (60, 1), (100, 1), (101, 0)):
        ledger = Ledger()
        ledger.add(read(0, 100, ended=1))
        assert ledger.add(read(start, 200, began=2, ended=3, broken=False)) == (max(100 - start, 0), resumes)


def test_the_order_in_which_ends_become_known_does_not_matter() -> None:
    """Workers tell of their reads when they can: the resume is counted, whichever of the two is known first."""
    first, second = read(0, 100, ended=1), read(60, 200, began=2, ended=3, broken=False)
    for reads in ((first, second), (second, first)):
        ledger = Ledger()
        assert [ledger.add(one) for one in reads] == [(0, 0), (40, 1)]


def test_streams_side_by_side_do_not_resume_each_other() -> None:
    """A stream that takes over the rest of another one's range began while that one ran: bytes sent twice, but no resume."""
    ledger = Ledger()
    ledger.add(read(0, 60, began=0, ended=3))
    assert ledger.add(read(50, 100, began=1, ended=4)) == (10, 0)
    assert ledger.add(read(55, 100, began=2.95, ended=4)) == (45, 1), "began when the first was about to end"


def test_what_ended_well_is_not_resumed() -> None:
    """A read after one that came to its end is a read of its own."""
    ledger = Ledger()
    ledger.add(read(0, 100, broken=False))
    assert ledger.add(read(100, 200, began=2, ended=3)) == (0, 0)


def test_a_read_that_resumes_several_counts_once() -> None:
    """However many attempts broke off at a byte, going on from there is one resume."""
    ledger = Ledger()
    ledger.add(read(0, 100, ended=1))
    assert ledger.add(read(100, 100, began=2, ended=3)) == (0, 1)
    assert ledger.add(read(100, 200, began=4, ended=5)) == (0, 1)


def test_memory_is_bounded() -> None:
    """The transfers that are longest quiet are forgotten, and of each transfer the oldest reads."""
    ledger = Ledger(transfers=2, reads=2)
    for transfer in "abac":
        ledger.add(read(0, 10, transfer=transfer))
    assert ledger.add(read(0, 10, transfer="b"))[0] == 0, "forgotten: a was heard of again after it"
    ledger = Ledger(reads=2)
    for start in (0, 10, 20):
        ledger.add(read(start, start + 10))
    assert ledger.add(read(0, 30))[0] == 20
