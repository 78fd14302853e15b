"""Tables and plots of what was measured."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.measure import Sample

_GIB = 1 << 30
_MB = 1e6


def machine() -> str:
    """Say what this was measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")
    cores = sum(line.startswith("processor") for line in lines)
    return f"{cpu}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def table(results: Mapping[str, Sequence[Sample]], size: int, reference: str) -> str:
    """Return a table in Markdown: medians, spread, and ratios to the reference."""
    lines = [
        f"| | MB/s, median (least to most) | ratio to {reference} | CPU-s per GiB, client + server | peak MiB of each |",
        "|---|---|---|---|---|",
    ]
    base = _median_rate(results[reference], size) if results.get(reference) else None
    for name, samples in results.items():
        if not samples:
            lines.append(f"| {name} | not installed | | | |")
            continue
        rates = sorted(size / sample.seconds / _MB for sample in samples)
        rate = statistics.median(rates)
        client = statistics.median(sample.client_cpu for sample in samples) * _GIB / size
        server = statistics.median(sample.server_cpu for sample in samples) * _GIB / size
        ratio = f"{rate / base:.2f}" if base else ""
        lines.append(
            f"| {name} | {rate:.0f} ({rates[0]:.0f} to {rates[-1]:.0f}) | {ratio} "
            f"| {client:.2f} + {server:.2f} = {client + server:.2f} "
            f"| {max(s.client_rss for s in samples) >> 20}, {max(s.server_rss for s in samples) >> 20} |"
        )
    return "\n".join(lines)


def _median_rate(samples: Sequence[Sample], size: int) -> float:
    return statistics.median(size / sample.seconds / _MB for sample in samples)


def save(path: Path, results: Mapping[str, Sequence[Sample]], size: int) -> None:
    """Keep the raw samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: [asdict(sample) for sample in samples] for name, samples in results.items()}
    path.write_text(json.dumps({"machine": machine(), "size": size, "samples": kept}, indent=1))


def plot(path: Path, results: Mapping[str, Sequence[Sample]], size: int, title: str) -> None:
    """Draw the medians as bars, the spread as whiskers. Needs matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "unspool"  # the same figures give the same file
    from matplotlib import pyplot as plt

    shown = [(name, sorted(size / s.seconds / _MB for s in samples)) for name, samples in results.items() if samples]
    shown.sort(key=lambda entry: statistics.median(entry[1]))
    medians = [statistics.median(rates) for _, rates in shown]
    whiskers = [
        [median - rates[0] for median, (_, rates) in zip(medians, shown, strict=True)],
        [rates[-1] - median for median, (_, rates) in zip(medians, shown, strict=True)],
    ]
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(shown) + 1.2), layout="constrained")
    colours = ["#c2410c" if name.startswith("unspool") else "#64748b" for name, _ in shown]
    axes.barh([name for name, _ in shown], medians, xerr=whiskers, color=colours, capsize=3)
    axes.set_xlabel("MB/s (median, least to most)")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
