"""Which of several servers with the same files the attempts of a transfer go to.

Rule 1: a transfer stays with its replica until an attempt fails there. A new one begins at the replica with the fewest running
        attempts; among equals they take turns.
Rule 2: after a failure every other replica is asked once, without a wait: a round. Only when all of them have failed without a
        new byte, the round counts against the retry budget.
Rule 3: a replica that did not answer is asked last for a while, by all transfers of the client. One answer ends that.
Rule 4: a replica that does not have the file, or not at the pinned revision, is behind or ahead of the others: they are asked.
        While one of them cannot be reached, and may have it, the transfer waits for it as the retry budget allows.
Rule 5: what is written goes only to replicas that share one storage, as each of them has said since it failed last. So an
        answer about a name is the answer of all, and no other one is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from unspool.core.counted import counted
from unspool.errors import (
    ConnectError,
    DataLossError,
    FileChangedError,
    NotFoundError,
    OverloadedError,
    ServerError,
    StalledError,
    UnreachableError,
    UnspoolError,
)

_FIRST_REST = 1.0
"""Seconds for which a replica is asked last after its first failure: a restart takes about as long (gRPC's backoff: 1 s)."""

_LONGEST_REST = 30.0
"""Most of these seconds, unless the replica asked for more: as long as the longest wait of the retry budget."""

_NO_ANSWER = (UnreachableError, StalledError, OverloadedError, ServerError)
"""Errors after which other transfers should not begin at this replica."""

_OTHERS_MAY_HAVE_IT = (FileChangedError, NotFoundError, DataLossError, ConnectError)
"""Errors that waiting does not help against, and another replica may."""

_ANSWERS = (FileChangedError, NotFoundError, DataLossError)
"""Those of them that say something about the file."""


@dataclass(slots=True)
class _State:
    """What is known of one replica.

    Attributes:
        running: attempts that run there.
        begun: attempts begun there so far.
        failures: failures since its last answer.
        rests_until: the time until which it is asked last.
        storage: the id of the storage that it writes to; "" if it has not said so since it failed.
    """

    running: int = 0
    begun: int = 0
    failures: int = 0
    rests_until: float = 0.0
    storage: str = ""


class Replicas:
    """The replicas of one client, and how they are. Times are in seconds, of any clock that does not go back.

    Attributes:
        names: their addresses.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: tuple[str, ...] = ()
        self._states: dict[str, _State] = {}
        self.know(names)

    def know(self, names: Iterable[str]) -> None:
        """Replace the set of replicas. What is known of those that stay is kept."""
        self.names = tuple(dict.fromkeys(names))
        self._states = {name: self._states.get(name) or _State() for name in self.names}

    def begin(self, now: float, last: Collection[str] = (), later: Collection[str] = (), *, stay: str | None = None) -> str:
        """Return the replica for an attempt that begins.

        Args:
            now: the time.
            last: replicas that have failed in this round: they are chosen only if there is no other.
            later: replicas that should be chosen only before those.
            stay: the replica of the attempt before; chosen if it is well and in neither list.
        """
        turns = {name: number for number, name in enumerate(self.names)}

        def order(name: str) -> tuple[object, ...]:
            state = self._states[name]
            resting = max(state.rests_until - now, 0.0)
            return name in last, name in later, resting, name != stay, state.running, state.begun, turns[name]

        name = min(self.names, key=order)
        self._states[name].running += 1
        self._states[name].begun += 1
        return name

    def end(self, name: str) -> None:
        """Note that an attempt has ended."""
        if name in self._states:
            self._states[name].running -= 1

    def answered(self, name: str) -> None:
        """Note that a replica is well."""
        if name in self._states:
            self._states[name].failures, self._states[name].rests_until = 0, 0.0

    def failed(self, name: str, error: UnspoolError, now: float) -> None:
        """Note how an attempt failed."""
        if name not in self._states:
            return
        if not isinstance(error, _NO_ANSWER):
            self.answered(name)
            return
        state = self._states[name]
        rest = min(_FIRST_REST * 2.0 ** min(state.failures, 32), _LONGEST_REST)
        state.failures += 1
        state.rests_until = max(state.rests_until, now + max(rest, error.retry_after or 0.0))
        state.storage = ""  # who answers there next may be another server

    def writes_to(self, name: str, storage: str) -> None:
        """Note which storage a replica writes to."""
        if name in self._states:
            self._states[name].storage = storage

    def unsure(self) -> Sequence[str]:
        """Return the replicas of which it is not known which storage they write to."""
        return [name for name, state in self._states.items() if not state.storage]

    def apart(self, name: str) -> str | None:
        """Return a replica that writes to another storage than this one, as far as is known; None if there is none."""
        storage = self._states[name].storage
        others = (other for other, state in self._states.items() if state.storage not in ("", storage))
        return next(others, None)


class Round:
    """The failures of a stream since its last new byte, one for each replica.

    Args:
        without: gets the replicas that do not have the pinned revision. All streams of a transfer share it.

    Attributes:
        shared: whether the replicas share one storage, so that what one answers about a name holds for all.
    """

    def __init__(self, without: set[str]) -> None:
        self._errors: dict[str, UnspoolError] = {}
        self.without = without
        self.shared = False

    @property
    def failed(self) -> Collection[str]:
        """The replicas that have failed in this round."""
        return self._errors.keys()

    def begin(self) -> None:
        """Begin another round."""
        self._errors.clear()

    def add(self, name: str, error: UnspoolError, *, progressed: bool) -> None:
        """Note how an attempt failed, and whether it brought new bytes."""
        if progressed:
            self._errors.clear()
        self._errors[name] = error
        if isinstance(error, FileChangedError) and not self.shared:
            self.without.add(name)

    def goes_on(self, names: Collection[str]) -> bool:
        """Return whether the next attempt is made at once, at a replica that has not failed in this round."""
        *_, last = self._errors.values()
        return self._helps_elsewhere(last) and any(name not in self._errors for name in names)

    def deciding(self, *, begun: bool) -> UnspoolError:
        """Return the error by which the retry budget decides whether there is another round.

        Args:
            begun: whether the transfer has received bytes. If not, it does not wait for a replica that may have the file.
        """
        *_, last = errors = list(self._errors.values())
        if not self._helps_elsewhere(last) or (not begun and any(isinstance(error, NotFoundError) for error in errors)):
            return self.final()
        # One that answered, if only to refuse, shows that an address is right: then it is not the first contact that failed.
        retryable = sorted((error for error in errors if error.retryable), key=lambda error: isinstance(error, ConnectError))
        return retryable[0] if retryable else last

    def final(self) -> UnspoolError:
        """Return the error to raise if there is no other round."""
        *_, last = errors = list(self._errors.values())
        if not self._helps_elsewhere(last) or len(errors) == 1:
            return last
        for kind in (FileChangedError, DataLossError, NotFoundError):
            found = [error for error in errors if isinstance(error, kind)]
            if found and kind is FileChangedError:
                return _changed(found[-1], len(found), len(errors))
            if found:
                return found[-1]
        if all(isinstance(error, ConnectError) for error in errors):
            return type(last)("; ".join(dict.fromkeys(error.message for error in errors)))
        return last

    def _helps_elsewhere(self, error: UnspoolError) -> bool:
        return helps_elsewhere(error) and not (self.shared and isinstance(error, _ANSWERS))


def helps_elsewhere(error: UnspoolError) -> bool:
    """Whether another replica may succeed where one failed with this error."""
    return error.retryable or isinstance(error, _OTHERS_MAY_HAVE_IT)


def _changed(error: UnspoolError, without: int, asked: int) -> UnspoolError:
    """Return the error of a revision that no replica has any more, as far as they answer."""
    silent = f", and {counted(asked - without, 'other')} cannot be asked" if without < asked else ""
    return type(error)(
        f"{error.message}; {counted(without, 'server')} of {asked} answered so{silent}", name=error.name, offset=error.offset
    )
