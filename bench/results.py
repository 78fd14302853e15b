"""What was measured: per way of doing it and per x (a size, a number of clients), the samples of all rounds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.measure import CommandFailedError, Sample
from bench.peer import Peer


@dataclass(slots=True)
class Results:
    """Samples by name and x, in the order in which they are shown; `why_not` says why a name has none."""

    samples: dict[str, dict[float, list[Sample]]] = field(default_factory=dict)
    why_not: dict[str, str] = field(default_factory=dict)

    def of(self, name: str, x: float) -> list[Sample]:
        """Return the samples of a name at x, none if there are none."""
        return self.samples.get(name, {}).get(x, [])

    def xs(self) -> list[float]:
        """Return all x, in order."""
        return sorted({x for by_x in self.samples.values() for x in by_x})


def present(peers: Sequence[Peer], results: Results) -> list[Peer]:
    """Return the peers that are installed; note the others as missing."""
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
    """Run all in turns, A B A B, and keep their samples at x; the first round warms up caches and is not counted.

    What fails is said, and left out of the rounds that follow.
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
