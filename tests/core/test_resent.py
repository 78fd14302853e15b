"""Bytes that are sent again, and reads that resume another one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unspool.core.resent import Ledger, Read


def read(start: int, stop: int, *, broken: bool = True, began: float = 0, ended: float = 1, transfer: str = "t") -> Read:
    """A read that has ended."""
    return Read(transfer, start, stop, broken, began, ended)


SPANS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)


@given(st.lists(st.tuples(st.sampled_from("ab"), SPANS), max_size=20))
def test_a_byte_counts_each_time_that_it_is_sent_after_the_first(reads: list[tuple[str, list[int]]]) -> None:
    """The bytes sent again are all bytes sent less the distinct bytes of each transfer, in any order of reads."""
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
    """A resume is counted whichever of the two reads is reported first, because workers report at different times."""
    first, second = read(0, 100, ended=1), read(60, 200, began=2, ended=3, broken=False)
    for reads in ((first, second), (second, first)):
        ledger = Ledger()
        assert [ledger.add(one) for one in reads] == [(0, 0), (40, 1)]


def test_streams_side_by_side_do_not_resume_each_other() -> None:
    """A stream that takes over another one's range while that one runs sends bytes twice, but is not a resume."""
    ledger = Ledger()
    ledger.add(read(0, 60, began=0, ended=3))
    assert ledger.add(read(50, 100, began=1, ended=4)) == (10, 0)
    assert ledger.add(read(55, 100, began=2.95, ended=4)) == (45, 1), "began when the first was about to end"


def test_what_ended_well_is_not_resumed() -> None:
    """A read after one that was complete is not a resume."""
    ledger = Ledger()
    ledger.add(read(0, 100, broken=False))
    assert ledger.add(read(100, 200, began=2, ended=3)) == (0, 0)


def test_a_read_that_resumes_several_counts_once() -> None:
    """If several attempts broke off at one byte, continuing from there is one resume."""
    ledger = Ledger()
    ledger.add(read(0, 100, ended=1))
    assert ledger.add(read(100, 100, began=2, ended=3)) == (0, 1)
    assert ledger.add(read(100, 200, began=4, ended=5)) == (0, 1)


def test_memory_is_bounded() -> None:
    """The least recently used transfers are forgotten, and the oldest reads of each transfer."""
    ledger = Ledger(transfers=2, reads=2)
    for transfer in "abac":
        ledger.add(read(0, 10, transfer=transfer))
    assert ledger.add(read(0, 10, transfer="b"))[0] == 0, "forgotten: a was heard of again after it"
    ledger = Ledger(reads=2)
    for start in (0, 10, 20):
        ledger.add(read(start, start + 10))
    assert ledger.add(read(0, 30))[0] == 20
