"""The screen of `unspool top`, as lines of text."""

from __future__ import annotations

from unspool.cli.output import printable
from unspool.cli.units import say_amount, say_bytes, say_duration, say_share
from unspool.core.counted import counted
from unspool.core.running import Running, RunningCall

_COLUMNS = f"{'CALL':9}  {'WHO':20}  {'BYTES':>19}  {'DONE':>5}  {'RATE':>12}  {'TRY':>3}  {'TIME':>8}  NAME"

_LEAST_ROWS = 4


def heading(server: str, running: Running) -> str:
    """Return the line about all calls."""
    stalled = sum(call.stalled for call in running.calls)
    said = (
        f"{server}: {counted(len(running.calls) + running.left_out, 'call')}, {_say_rate(sum(c.rate for c in running.calls))}"
    )
    if stalled:
        said += f", {stalled} stalled"
    if running.silent:
        said += f"; {running.silent} of {counted(running.workers, 'worker')} did not answer, and their calls are missing"
    elif running.workers > 1:
        said += f"; {counted(running.workers, 'worker')}"
    return printable(said)


def lines(running: Running, rows: int | None = None) -> list[str]:
    """Return the table of the calls, in at most so many lines. Stalled calls come first, then those that have run longest."""
    calls = sorted(running.calls, key=lambda call: (not call.stalled, -call.seconds))
    room = len(calls) if rows is None else max(rows, _LEAST_ROWS) - 2
    shown = calls if len(calls) <= room else calls[:room]
    more = len(calls) - len(shown) + running.left_out
    return [_COLUMNS, *map(_line, shown), *([f"... and {more} more"] if more else [])]


def _line(call: RunningCall) -> str:
    rate = "stalled" if call.stalled else _say_rate(call.rate)
    done = "" if call.length is None else say_share(call.sent, call.length) if call.length else "100 %"
    sent = say_amount(call.sent, call.length)
    if call.files:
        done = f"{100 * call.files_begun // call.files} %"
    if call.method == "ListFiles":
        sent = rate = ""
    tries = str(call.attempt) if call.attempt else ""
    who = _shortened(who_of(call), 20)
    time = say_duration(call.seconds)
    return printable(f"{call.method:9}  {who:20}  {sent:>19}  {done:>5}  {rate:>12}  {tries:>3}  {time:>8}  {_named(call)}")


def who_of(call: RunningCall) -> str:
    """Return who makes a call: the principal, or else the host."""
    if call.principal:
        return call.principal
    kind, _, rest = call.peer.partition(":")
    return kind if kind == "unix" else rest.rpartition(":")[0].replace("%5B", "[").replace("%5D", "]")


def _named(call: RunningCall) -> str:
    more = f" and {call.files - 1} more" if call.files > 1 else ""
    return f"{call.name or ('(everything)' if call.method == 'ListFiles' else '')}{more}"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _say_rate(rate: float) -> str:
    return f"{say_bytes(rate)}/s"
