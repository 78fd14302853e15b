"""The samples of all rounds, by peer and by x, which is a size or a number of clients."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.measure import CommandFailedError, Sample
from bench.peer import Peer


@dataclass(slots=True)
class Results:
    """Samples by name and x, in the order in which they are shown. `why_not` has the reason if a name has none."""

    samples: dict[str, dict[float, list[Sample]]] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)

    def of(self, name: str, x: float) -> list[Sample]:
        """Return the samples of a name at x."""
        return self.samples.get(name, {}).get(x, [])

    def xs(self) -> list[float]:
        """Return all x, in order."""
        return sorted({x for by_x in self.samples.values() for x in by_x})


def present(peers: Sequence[Peer], results: Results) -> list[Peer]:
    """Return the peers that are installed; record the others as missing."""
    there = []
    for peer in peers:
        results.samples.setdefault(peer.name, {})
        if missing := peer.missing():
            results.why_not[peer.name] = f"missing: {missing}"
            print(f"{peer.name}: {missing} is missing", file=sys.stderr)
        else:
            there.append(peer)
    return there


def in_turns(
    runs: Mapping[str, Callable[[], Sample]], rounds: int, results: Results, x: float = 0, *, warm_up: bool = True
) -> None:
    """Run all in turns (A B A B) and store their samples at x. The first round warms up caches and is not counted.

    A failure is printed, and that peer is left out of the following rounds.
    """
    failed = set()
    for name in runs:
        results.samples.setdefault(name, {}).setdefault(x, [])
    for number in range(rounds + warm_up):
        for name, run in runs.items():
            if name in failed:
                continue
            try:
                sample = run()
            except CommandFailedError as error:
                failed.add(name)
                results.why_not[name] = "failed"
                print(f"\n{name}: {error}", file=sys.stderr)
                continue
            if number or not warm_up:
                results.samples[name][x].append(sample)
            print(
                f"\r{f'{x:.0f}, ' if x else ''}{name}, round {number}: {sample.seconds:.2f} s".ljust(78),
                end="",
                file=sys.stderr,
                flush=True,
            )
    print(file=sys.stderr)
