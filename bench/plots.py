"""Plots of the results, as SVG. They need matplotlib. The same figures give the same file."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import Sample
from bench.results import Results

OURS, THEIRS = "#c2410c", "#64748b"


def bars(path: Path, results: Results, value: Callable[[Sample], float], title: str, unit: str) -> None:
    """Draw the medians as bars and the spread as whiskers."""
    shown = [
        (name, sorted(value(sample) for samples in by_x.values() for sample in samples))
        for name, by_x in results.samples.items()
        if any(by_x.values())
    ]
    shown.sort(key=lambda entry: statistics.median(entry[1]))
    medians = [statistics.median(values) for _, values in shown]
    whiskers = [
        [median - values[0] for median, (_, values) in zip(medians, shown, strict=True)],
        [values[-1] - median for median, (_, values) in zip(medians, shown, strict=True)],
    ]
    with _axes(path, (8, 0.4 * len(shown) + 1.2), title) as axes:
        colours = [OURS if name.startswith("unspool") else THEIRS for name, _ in shown]
        axes.barh([name for name, _ in shown], medians, xerr=whiskers, color=colours, capsize=3)
        axes.set_xlabel(f"{unit} (median, least to most)")


def curves(
    path: Path,
    results: Results,
    value: Callable[[Sample], float],
    title: str,
    *,
    x_title: str,
    unit: str,
    log_y: bool = False,
) -> None:
    """Draw the medians over a logarithmic x axis, and the spread as a band."""
    with _axes(path, (8, 4.5), title) as axes:
        for name, by_x in results.samples.items():
            points = [(x, sorted(map(value, samples))) for x, samples in sorted(by_x.items()) if samples]
            if not points:
                continue
            xs = [x for x, _ in points]
            (line,) = axes.plot(xs, [statistics.median(values) for _, values in points], marker="o", label=name)
            axes.fill_between(xs, [v[0] for _, v in points], [v[-1] for _, v in points], color=line.get_color(), alpha=0.15)
        axes.set_xscale("log")
        if log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(x_title)
        axes.set_ylabel(unit)
        axes.legend(frameon=False)


@contextmanager
def _axes(path: Path, size: tuple[float, float], title: str) -> Iterator[Any]:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "unspool"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=size, layout="constrained")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    yield axes
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
