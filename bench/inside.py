"""Runs a client that measures itself (`bench.readers`) and makes a sample of its output."""

from __future__ import annotations

import json
import sys

from bench.measure import Process, Sample, measure_output
from bench.servers import REPOSITORY

READERS = [sys.executable, "-m", "bench.readers"]


def measure_inside(command: list[str], server: Process | None) -> tuple[Sample, dict[str, float]]:
    """Run the client; return the sample of the whole process, and what the client measured."""
    sample, said = measure_output(command, server, cwd=REPOSITORY)
    return sample, json.loads(said.last.splitlines()[-1])
