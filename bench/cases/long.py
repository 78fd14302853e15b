"""Long links, through unspool's own proxy: delay, a bandwidth that all connections share, connections that are cut.

While a connection carries X MiB to the client, it is cut with a probability of P %, at any byte. The defaults are P = 1 and
X = 16. The risk is the same for the next X MiB. So the bytes between two cuts are exponentially distributed with a mean of
about 100 X / P MiB, whatever the number of connections. A cut is a reset (RST), which loses the bytes in flight.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import plots, report, servers
from bench.case import Case, Shown, chosen, get_file, random_file
from bench.measure import Process, Sample, measure_output
from bench.peer import CURL, JOBS, OURS, Peer
from bench.results import Results, in_turns, present
from bench.servers import REPOSITORY, UNSPOOL

_GIGABIT = 1e9 / 8

LINKS = {"100 ms, 1 Gbit/s": (0.100, 1 * _GIGABIT), "10 ms, 10 Gbit/s": (0.010, 10 * _GIGABIT)}
"""Round trip in seconds, bytes per second."""


def chance_per_mib(percent: float, mib: float) -> float:
    """Return the probability of a cut within one MiB, if it is `percent` within `mib` MiB."""
    return -math.expm1(math.log1p(-percent / 100) / mib)


def mean_mib(chance: float) -> float:
    """Return how many MiB a connection carries on average before it is cut, by the probability of that within one MiB."""
    return -1 / math.log1p(-chance)


def _behind(peer: Peer, link: str, **behaviour: float) -> Peer:
    round_trip, bandwidth = LINKS[link]
    server = servers.through_proxy(peer.server, delay=round_trip / 2, bandwidth=bandwidth, **behaviour)
    return dataclasses.replace(peer, name=f"{peer.name}, {link}", server=server)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file (default 1024)")


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    size = arguments.size * report.MIB
    root = directory / "root"
    random_file(root / "big.bin", size)
    ways = [*OURS, CURL]
    results = Results()
    for link in LINKS:
        with ExitStack() as stack:
            runs = {}
            for peer in present([_behind(peer, link) for peer in chosen(ways, arguments.only, (CURL.name,))], results):
                process, address = stack.enter_context(peer.server(root))
                out = directory / "out"
                runs[peer.name] = partial(get_file, peer.get(address, "big.bin", out), process, out, size)
            in_turns(runs, arguments.rounds, results)
    tables = []
    for link in LINKS:
        of_link = Results({name: by_x for name, by_x in results.samples.items() if name.endswith(link)}, results.why_not)
        reference = f"{CURL.name}, {link}"
        columns = [report.MEGABYTES, report.ratio_to(CURL.name), report.CPU_PER_GIB, report.PEAK]
        tables.append(report.table(of_link, columns, reference))
    return Shown(
        f"Whole client process through the delay proxy (round trip and bandwidth as said; one line for all connections; no "
        f"congestion control, no loss), {arguments.size} MiB in {arguments.dir}, {arguments.rounds} rounds in turns.",
        "\n\n".join(tables),
        results,
        partial(plots.bars, results=results, value=lambda s: report.rate(s) / report.MB, title="Long links", unit="MB/s"),
    )


def _cut_options(parser: argparse.ArgumentParser) -> None:
    _options(parser)
    parser.add_argument("--percent", type=float, default=1.0, help="chance of a cut within --mib, percent (default 1)")
    parser.add_argument("--mib", type=float, default=16.0, help="MiB within which --percent are cut (default 16: a segment)")
    parser.add_argument("--link", choices=list(LINKS), default="100 ms, 1 Gbit/s", help="which link (default 100 ms, 1 Gbit/s)")


def _get_counting(address: str, server: Process | None, out: Path, size: int, options: tuple[str, ...]) -> Sample:
    out.unlink(missing_ok=True)
    command = [*UNSPOOL, "get", "--json", *options, f"{address}/big.bin", str(out)]
    sample, said = measure_output(command, server, cwd=REPOSITORY)
    result = json.loads(said.last)
    return dataclasses.replace(sample, amount=size, more={"attempts": result["attempts"]})


def _run_cut(arguments: argparse.Namespace, directory: Path) -> Shown:
    size = arguments.size * report.MIB
    root = directory / "root"
    random_file(root / "big.bin", size)
    chance = chance_per_mib(arguments.percent, arguments.mib)
    results = Results()
    with ExitStack() as stack:
        runs = {}
        for peer in present(OURS, results):
            for what, cuts in (("uncut", {}), ("cut", {"cut_chance": chance})):
                one = _behind(peer, arguments.link, **cuts)
                process, address = stack.enter_context(one.server(root))
                runs[f"{peer.name}, {what}"] = partial(
                    _get_counting, address, process, directory / "out", size, JOBS[peer.name]
                )
            del results.samples[peer.name]
        in_turns(runs, arguments.rounds, results)
    columns = [report.SECONDS, report.MEGABYTES, report.ratio_to("unspool, uncut"), report.more("attempts", "attempts", 0)]
    mean = mean_mib(chance)
    return Shown(
        f"Whole client process through the delay proxy ({arguments.link}), {arguments.size} MiB, {arguments.rounds} rounds in "
        f"turns. A connection is cut with probability {arguments.percent:g} % while it carries {arguments.mib:g} MiB, at "
        f"whichever byte: on average every {mean:.0f} MiB, so {size / report.MIB / mean:.2f} cuts in a file.",
        report.table(results, columns, "unspool, uncut"),
        results,
        partial(plots.bars, results=results, value=lambda s: s.seconds, title="With and without cuts", unit="seconds"),
    )


LONG = Case("long", "long links through the delay proxy, beside curl", _options, _run)
CUT = Case("cut", "a long link whose connections are cut at random, beside the same uncut", _cut_options, _run_cut)
