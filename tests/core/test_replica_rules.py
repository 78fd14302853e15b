"""Which replica an attempt goes to, and what a round of failures comes to."""

from __future__ import annotations

import pytest

from unspool.core.replicas import Replicas, Round
from unspool.errors import (
    ConnectError,
    DataLossError,
    FileChangedError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    StreamAgeError,
    UnreachableError,
    UnspoolError,
)

NAMES = ["a:1", "b:1", "c:1"]
GONE = UnreachableError("gone")
CHANGED = FileChangedError("x: it changed", name="x", offset=7)


def test_attempts_that_run_at_the_same_time_are_spread_evenly() -> None:
    """Each begins at the replica with the fewest running attempts."""
    replicas = Replicas(NAMES)
    assert sorted(replicas.begin(0.0) for _ in range(6)) == sorted(NAMES * 2)
    replicas.end("b:1")
    assert replicas.begin(0.0) == "b:1"


def test_attempts_after_one_another_take_turns() -> None:
    """The replica with the fewest attempts so far is next."""
    replicas = Replicas(NAMES)
    begun = []
    for _ in range(6):
        begun.append(replicas.begin(0.0))
        replicas.end(begun[-1])
    assert begun == NAMES * 2


def test_a_transfer_stays_with_a_replica_that_is_well() -> None:
    """The next attempt goes to the same one, even if others are less busy, unless it failed or does not have the revision."""
    replicas = Replicas(NAMES)
    assert replicas.begin(0.0) == "a:1"
    assert replicas.begin(0.0, stay="a:1") == "a:1"
    assert replicas.begin(0.0, last=["a:1"], stay="a:1") == "b:1"
    assert replicas.begin(0.0, later=["a:1"], stay="a:1") == "c:1"
    assert replicas.begin(0.0, last=["a:1", "b:1"], later=["c:1"]) == "c:1"


def test_a_replica_that_does_not_answer_is_asked_last_for_a_while() -> None:
    """The while doubles with each failure from 1 s to 30 s, and is at least what the replica asked for."""
    replicas = Replicas(["a:1", "b:1"])
    replicas.begin(0.0)  # b:1 is less busy from now on
    now = 0.0
    for rest in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        replicas.failed("b:1", GONE, now)
        assert replicas.begin(now + rest - 0.1) == "a:1"
        replicas.end("a:1")
        now += rest
        assert replicas.begin(now) == "b:1"
        replicas.end("b:1")
    replicas.failed("b:1", OverloadedError("later", retry_after=100.0), now)
    assert replicas.begin(now + 99.0) == "a:1"


def test_what_a_replica_writes_to_is_known_until_it_fails() -> None:
    """Replicas with two storages are apart, as far as they have said it since they failed last."""
    replicas = Replicas(NAMES)
    assert replicas.unsure() == NAMES
    replicas.writes_to("a:1", "one")
    replicas.writes_to("d:1", "two")  # it is no replica any more
    assert (replicas.unsure(), replicas.apart("a:1")) == (["b:1", "c:1"], None)
    replicas.writes_to("b:1", "two")
    assert (replicas.apart("a:1"), replicas.apart("b:1")) == ("b:1", "a:1")
    replicas.failed("b:1", NotFoundError("none"), 0.0)
    assert replicas.unsure() == ["c:1"]
    replicas.failed("b:1", GONE, 0.0)
    assert (replicas.unsure(), replicas.apart("a:1")) == (["b:1", "c:1"], None)


@pytest.mark.parametrize("error", [CHANGED, NotFoundError("none"), DataLossError("lost")])
def test_an_answer_of_a_shared_storage_holds_for_all(error: UnspoolError) -> None:
    """If replicas share their storage, no other one is asked, and the error is the answer."""
    without: set[str] = set()
    one = Round(without)
    one.shared = True
    one.add("a:1", GONE, progressed=False)
    assert one.goes_on(NAMES)
    one.add("b:1", error, progressed=False)
    assert not one.goes_on(NAMES)
    assert one.deciding(begun=True) is one.final() is error
    assert without == set()


def test_a_replica_that_answers_is_waited_for_although_another_one_never_did() -> None:
    """At first contact one replica does not listen and the other is going away: the budget decides, in whichever order."""
    for errors in ((ConnectError("nobody"), GONE), (GONE, ConnectError("nobody"))):
        one = Round(set())
        for name, error in zip(NAMES, errors, strict=False):
            one.add(name, error, progressed=False)
        assert one.deciding(begun=False) is GONE


def test_one_answer_makes_a_replica_well() -> None:
    """An attempt that ends well, or with an error that shows the server alive, ends the rest."""
    replicas = Replicas(["a:1", "b:1"])
    replicas.begin(0.0)
    for alive in (None, StreamAgeError("old"), NotFoundError("none")):
        replicas.failed("b:1", GONE, 0.0)
        assert replicas.begin(0.0) == "a:1"
        replicas.end("a:1")
        if alive is None:
            replicas.answered("b:1")
        else:
            replicas.failed("b:1", alive, 0.0)
        assert replicas.begin(0.0) == "b:1"
        replicas.end("b:1")


def test_the_set_of_replicas_may_change() -> None:
    """What is known of those that stay is kept, and an attempt at one that has left ends without trouble."""
    replicas = Replicas(["a:1", "b:1"])
    replicas.failed("a:1", GONE, 0.0)
    left = replicas.begin(0.0)
    replicas.know(["a:1", "c:1", "c:1"])
    assert replicas.names == ("a:1", "c:1")
    assert replicas.begin(0.0) == "c:1"
    replicas.failed(left, GONE, 0.0)
    replicas.answered(left)
    replicas.end(left)


# Rounds


def failed(*errors: UnspoolError) -> Round:
    """Return a round in which the replicas failed with these errors, in their order."""
    one = Round(set())
    for name, error in zip(NAMES, errors, strict=False):
        one.add(name, error, progressed=False)
    return one


@pytest.mark.parametrize("error", [GONE, CHANGED, NotFoundError("none"), DataLossError("lost"), ConnectError("refused")])
def test_every_other_replica_is_asked_at_once(error: UnspoolError) -> None:
    """After an error that another replica may not have, the next attempt is made without a wait, until all have failed."""
    assert failed(error).goes_on(NAMES)
    assert failed(error, error).goes_on(NAMES)
    assert not failed(error, error, error).goes_on(NAMES)


def test_a_refusal_is_final() -> None:
    """A caller who may not read the file is not sent round."""
    refused = PermissionDeniedError("no")
    one = failed(GONE, refused)
    assert not one.goes_on(NAMES)
    assert one.deciding(begun=True) is one.final() is refused


def test_new_bytes_begin_another_round() -> None:
    """After progress all other replicas may be asked again; so after a wait."""
    one = failed(GONE, GONE)
    one.add("c:1", GONE, progressed=True)
    assert list(one.failed) == ["c:1"]
    one.begin()
    assert not one.failed


def test_a_revision_that_no_replica_has_is_an_error_that_says_so() -> None:
    """All have changed: the error says how many said so, and keeps the name and the offset. They are remembered."""
    one = failed(CHANGED, CHANGED, CHANGED)
    error = one.final()
    assert type(error) is FileChangedError
    assert error.message == "x: it changed; 3 servers of 3 answered so"
    assert (error.name, error.offset) == ("x", 7)
    assert one.without == set(NAMES)
    assert not one.deciding(begun=True).retryable


def test_a_replica_that_is_away_may_have_the_revision() -> None:
    """While one cannot be reached the budget decides; when it is spent, the revision counts as gone."""
    for one in (failed(CHANGED, GONE, CHANGED), failed(GONE, CHANGED, CHANGED), failed(CHANGED, CHANGED, GONE)):
        assert one.deciding(begun=True) is GONE
        assert one.final().message == "x: it changed; 2 servers of 3 answered so, and 1 other cannot be asked"


def test_a_name_that_is_not_found_is_not_waited_for() -> None:
    """With a replica away, a missing file is reported at once before the first byte, and waited for after it."""
    missing = NotFoundError("none")
    one = failed(GONE, missing)
    assert one.deciding(begun=False) is one.final() is missing
    assert one.deciding(begun=True) is GONE


def test_servers_that_cannot_be_connected_to_are_all_named() -> None:
    """If no connection could be made to any, the error has what is wrong with each, once."""
    error = failed(ConnectError("a:1: refused"), ConnectError("b:1: no such host"), ConnectError("a:1: refused")).final()
    assert type(error) is ConnectError
    assert error.message == "a:1: refused; b:1: no such host"
    assert failed(ConnectError("a:1: refused"), GONE).final() is GONE


def test_one_error_alone_stays_as_it_is() -> None:
    """The only failure of a round is raised unchanged."""
    assert failed(CHANGED).final() is CHANGED
