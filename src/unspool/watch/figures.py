"""Figures: counters, gauges and histograms with labels, that add up over processes and can be sent from one to another."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from unspool.core.resent import Read

Key: TypeAlias = tuple[str, ...]
"""The name of a metric, and the values of its labels."""

BOUNDS: dict[str, tuple[float, ...]] = {
    # From a stat of what is in memory to a download of a day.
    "unspool_call_seconds": (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0),
    # From the page cache (20 us) over SSDs, disks and object stores to a store that hangs.
    "unspool_store_seconds": (0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
}
"""The upper bounds of each histogram's buckets, in seconds. There is one more bucket without a bound."""

_FIELDS = ("transfer", "start", "stop", "broken", "began", "ended")


class Histogram:
    """How often a value was in each bucket, and the sum of all values."""

    def __init__(self, bounds: Sequence[float], counts: Iterable[int] = (), total: float = 0.0) -> None:
        self.bounds = bounds
        self.counts = list(counts) or [0] * (len(bounds) + 1)
        self.total = total

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def __add__(self, other: Histogram) -> Histogram:
        counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        return Histogram(self.bounds, counts, self.total + other.total)


@dataclass(slots=True)
class Figures:
    """What a process has counted since it began, and how things are now.

    Attributes:
        counters: what only grows.
        gauges: what is so now. A process that has ended has none.
        histograms: distributions; they only grow, too.
        reads: the reads that ended since the last figures, as far as `core.resent` is interested in them.
        unended: the reads that are running: they have broken off if the process ends without a word.
    """

    counters: dict[Key, float] = field(default_factory=dict)
    gauges: dict[Key, float] = field(default_factory=dict)
    histograms: dict[Key, Histogram] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    unended: list[Read] = field(default_factory=list)

    def count(self, *key: str, by: float = 1) -> None:
        """Let a counter grow."""
        self.counters[key] = self.counters.get(key, 0) + by

    def observe(self, value: float, *key: str) -> None:
        """Count a value in a histogram."""
        self.histogram(*key).observe(value)

    def histogram(self, *key: str) -> Histogram:
        """Return a histogram, which is made if there is none yet."""
        histogram = self.histograms.get(key)
        if histogram is None:
            histogram = self.histograms[key] = Histogram(BOUNDS[key[0]])
        return histogram

    def encode(self) -> bytes:
        """Return one line that `decode` reads, without its line end."""
        return json.dumps(
            [
                [[*key, value] for key, value in self.counters.items()],
                [[*key, value] for key, value in self.gauges.items()],
                [[*key, one.counts, one.total] for key, one in self.histograms.items()],
                *([[getattr(one, name) for name in _FIELDS] for one in reads] for reads in (self.reads, self.unended)),
            ]
        ).encode()


def decode(line: bytes) -> Figures:
    """Return the figures in a line."""
    counters, gauges, histograms, *reads = json.loads(line)
    return Figures(
        {tuple(key): value for *key, value in counters},
        {tuple(key): value for *key, value in gauges},
        {tuple(key): Histogram(BOUNDS[key[0]], counts, total) for *key, counts, total in histograms},
        *([Read(*fields) for fields in each] for each in reads),
    )


def added(*several: Figures, gauges: Literal["kept", "dropped"] = "kept") -> Figures:
    """Return the sums of several figures, without their reads; of points in time, the first."""
    whole = Figures()
    for figures in several:
        for key, value in figures.counters.items():
            whole.counters[key] = whole.counters.get(key, 0) + value
        for key, value in figures.gauges.items() if gauges == "kept" else ():
            there = whole.gauges.get(key)
            first = key[0].endswith("_timestamp_seconds")
            whole.gauges[key] = value if there is None else min(there, value) if first else there + value
        for key, histogram in figures.histograms.items():
            before = whole.histograms.get(key)
            whole.histograms[key] = histogram if before is None else before + histogram
    return whole
