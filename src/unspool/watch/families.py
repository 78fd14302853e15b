"""Figures as Prometheus takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeVar

from unspool.core.extras import extra
from unspool.watch.figures import Histogram, Key

with extra("metrics"):
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Described:
    """A metric: what Prometheus is told of it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


def families(
    described: tuple[Described, ...], values: Mapping[Key, float], histograms: Mapping[Key, Histogram]
) -> Iterator[Metric]:
    """Yield the metrics that are described, with their samples."""
    for one in described:
        if one.kind == "histogram":
            shown = HistogramMetricFamily(one.name, one.help, labels=one.labels)
            for (_, *labels), histogram in _of(one.name, histograms):
                bounds = [*map(str, histogram.bounds), "+Inf"]
                shown.add_metric(labels, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total)
            yield shown
            continue
        family = (CounterMetricFamily if one.kind == "counter" else GaugeMetricFamily)(one.name, one.help, labels=one.labels)
        for (_, *labels), value in _of(one.name, values):
            family.add_metric(labels, value)
        yield family


def _of(name: str, values: Mapping[Key, T]) -> list[tuple[Key, T]]:
    return sorted(((key, value) for key, value in values.items() if key[0] == name), key=lambda pair: pair[0])
