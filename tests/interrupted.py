"""A download that was begun, and interrupted in the middle."""

import signal
from pathlib import Path

from gate import Gate
from processes import Outcome, eventually, outcome_of, running, size_of

_SLACK = 3 << 20
"""Bytes that a gate has let through and the part file does not have: of a block that is not whole, and what is around them."""


def interrupt_get(address: str, name: str, out: Path, limit: int, *options: str) -> Outcome:
    """Run `unspool get OPTIONS ADDRESS/NAME OUT` and interrupt it (SIGINT) when about `limit` bytes have arrived."""
    part = out.with_name(out.name + ".unspool-part")
    before = size_of(part)
    with Gate(address, limit) as gate, running("get", *options, f"{gate.address}/{name}", out) as process:
        eventually(lambda: size_of(part) - before >= limit - _SLACK)
        process.send_signal(signal.SIGINT)
        return outcome_of(process)
