"""Prints tables of the results, and saves the samples."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure import Sample
from bench.results import Results

GIB = 1 << 30
MIB = 1 << 20
MB = 1e6


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `cell` takes some samples, and those of the reference at the same x."""

    title: str
    cell: Callable[[Sequence[Sample], Sequence[Sample]], str]


def machine() -> str:
    """Describe this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")
    cores = sum(line.startswith("processor") for line in lines)
    return f"{cpu}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def spread(values: Iterable[float], digits: int = 0) -> str:
    """Return the median, minimum and maximum."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):.{digits}f} ({ordered[0]:.{digits}f} to {ordered[-1]:.{digits}f})"


def rate(sample: Sample) -> float:
    """Return the bytes or files transferred per second."""
    return sample.amount / sample.seconds


def median(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    """Return the median of a value of the samples."""
    return statistics.median(map(value, samples))


SECONDS = Column("seconds, median (least to most)", lambda samples, _: spread((s.seconds for s in samples), 3))

MEGABYTES = Column(
    "MB/s, median (least to most)",
    lambda samples, _: spread((rate(s) / MB for s in samples), 0 if median(samples, rate) >= 10 * MB else 2),
)

CPU_PER_GIB = Column("CPU-s per GiB, client + server", lambda samples, _: _sides(samples, lambda s: GIB / s.amount))

CPU = Column("CPU-s, client + server", lambda samples, _: _sides(samples, lambda _: 1))

PEAK = Column(
    "peak MiB of each",
    lambda samples, _: f"{max(s.client_rss for s in samples) // MIB}, {max(s.server_rss for s in samples) // MIB}",
)


def ratio_to(reference: str) -> Column:
    """Return a column with the speed relative to the reference: the ratio of the medians."""
    return Column(
        f"ratio to {reference}",
        lambda samples, others: f"{median(samples, rate) / median(others, rate):.2f}" if others else "",
    )


def more(key: str, title: str, digits: int = 3, scale: float = 1) -> Column:
    """Return a column for a figure that only one case measures."""

    def cell(samples: Sequence[Sample], _: Sequence[Sample]) -> str:
        values = [s.more[key] / scale for s in samples if key in s.more]
        return spread(values, digits) if values else ""

    return Column(title, cell)


def table(results: Results, columns: Sequence[Column], reference: str = "", x_title: str = "") -> str:
    """Return a table in Markdown with a row for each x and name. Without `x_title` there is one x, and no column for it."""
    head = ([x_title] if x_title else []) + ["", *(column.title for column in columns)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for x in results.xs() or [0]:
        for name in results.samples:
            samples = results.of(name, x)
            if samples:
                cells = [column.cell(samples, results.of(reference, x)) for column in columns]
            elif name in results.why_not and (x in results.samples[name] or not results.samples[name]):
                cells = [results.why_not[name], *[""] * (len(columns) - 1)]
            else:
                continue
            lines.append(f"| {' | '.join([*([f'{x:.0f}'] if x_title else []), name, *cells])} |")
    return "\n".join(lines)


def save(path: Path, results: Results) -> None:
    """Save the raw samples as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        name: {f"{x:.0f}": [asdict(s) for s in samples] for x, samples in by_x.items()}
        for name, by_x in results.samples.items()
    }
    path.write_text(json.dumps({"machine": machine(), "why_not": results.why_not, "samples": kept}, indent=1))


def _sides(samples: Sequence[Sample], scale: Callable[[Sample], float]) -> str:
    client = median(samples, lambda s: s.client_cpu * scale(s))
    server = median(samples, lambda s: s.server_cpu * scale(s))
    return f"{client:.2f} + {server:.2f} = {client + server:.2f}"
