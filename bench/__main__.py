"""Run benchmarks: `python -m bench --help`."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from bench import report
from bench.case import fast_directory
from bench.cases import CASES


def main() -> None:
    """Parse the command line and run the case it names."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure unspool beside its peers.")
    commands = parser.add_subparsers(dest="case", metavar="CASE")
    for case in CASES.values():
        command = commands.add_parser(case.name, help=case.help, description=case.help)
        command.add_argument("--rounds", type=int, default=5, help="how often each runs, in turns (default 5)")
        command.add_argument("--dir", default=fast_directory(), help="where files are served from and downloaded to")
        command.add_argument(
            "--only", action="append", default=[], help="only peers with this in their name, and the reference"
        )
        command.add_argument("--save", type=Path, help="write the samples as JSON")
        command.add_argument("--plot", type=Path, help="draw the result as SVG")
        case.options(command)
    arguments = parser.parse_args()
    if arguments.case is None:
        arguments = parser.parse_args(["first"])

    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # gRPC and curl would use the proxy even for loopback addresses
    # Users start from bytecode, because pip compiles what it installs. Without bytecode every start took 60 ms longer.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="unspool-bench-") as directory:
        shown = CASES[arguments.case].run(arguments, Path(directory))
    print(f"\n{shown.said}\n{report.machine()}\n\n{shown.table}")
    if arguments.save:
        report.save(arguments.save, shown.results)
    if arguments.plot:
        shown.plot(arguments.plot)


main()
