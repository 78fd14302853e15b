"""`unspool top`: the calls of a server, of all its workers, once and live."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path

from cli.screen import needs_tmux, screen
from processes import serving, unspool
from unspool import Client
from unspool.cli.topview import heading, lines, who_of
from unspool.client.running import running as asked
from unspool.core.running import Running, RunningCall
from unspool.options import Security

MIB = 1 << 20

CALLS = (
    RunningCall(
        "1", "ReadFile", "big.bin", peer="ipv4:10.0.0.7:5", attempt=2, seconds=65, length=96 * MIB, sent=24 * MIB, rate=MIB
    ),
    RunningCall("2", "ReadFiles", "a", 40, 10, "alice-of-the-very-long-name", attempt=1, seconds=2, sent=100, rate=50.0),
    RunningCall("3", "ListFiles", peer="unix:", seconds=1),
    RunningCall("4", "ReadFile", "b\x1b[2J", peer="ipv6:%5B::1%5D:7", attempt=1, seconds=30, length=0, stalled=True),
)


def test_each_call_is_a_line_and_stalled_ones_come_first() -> None:
    """A line has the call, who makes it, how far and how fast it is; nothing in a name reaches the terminal as it is."""
    running = Running(CALLS, left_out=3, workers=2)
    assert heading("h:1", running) == "h:1: 7 calls, 1.0 MiB/s, 1 stalled; 2 workers"
    assert lines(running) == [
        "CALL       WHO                                 BYTES   DONE          RATE  TRY      TIME  NAME",
        "ReadFile   [::1]                               0/0 B  100 %       stalled    1      0:30  b\\x1b[2J",
        "ReadFile   10.0.0.7                    24.0/96.0 MiB   25 %     1.0 MiB/s    2      1:05  big.bin",
        "ReadFiles  alice-of-the-very...                100 B   25 %        50 B/s    1      0:02  a and 39 more",
        "ListFiles  unix                                                                     0:01  (everything)",
        "... and 3 more",
    ]
    assert lines(running, 4)[1:] == [lines(running)[1], lines(running)[2], "... and 5 more"]
    assert [who_of(call) for call in CALLS] == ["10.0.0.7", "alice-of-the-very-long-name", "unix", "[::1]"]
    assert "1 of 2 workers did not answer" in heading("h:1", Running(workers=2, silent=1))


async def test_the_calls_of_all_workers_are_shown(tmp_path: Path) -> None:
    """Whichever worker answers, it shows the calls of all."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "big.bin").write_bytes(bytes(64 * MIB))
    with serving(tmp_path / "root", tmp_path / "log", "--workers", "2", "--admin") as server:
        async with AsyncExitStack() as stack:
            ids: set[str] = set()
            while {one.partition("-")[0] for one in ids} != {"1", "2"}:  # the kernel chooses the worker
                client = await stack.enter_async_context(Client(server.address))
                await stack.enter_async_context(client.open("big.bin"))  # more than fits into buffers, so the call stays
                (said,) = [one async for one in asked(server.address, None, Security())]
                ids = {call.id for call in said.calls}
            many = len(ids)
            found = await asyncio.to_thread(unspool, "top", server.address)
            assert re.fullmatch(rf"{server.address}: {many} calls, .*; 2 workers", found.lines[0])
            assert [line.split()[-1] for line in found.lines[2:]] == ["big.bin"] * many
            found = await asyncio.to_thread(unspool, "top", "--json", server.address)
            assert {call["id"] for call in json.loads(found.out)["calls"]} == ids


def test_a_server_that_does_not_tell_is_told_of(tmp_path: Path) -> None:
    """Without --admin there is one line that says so; a name in the URL is a usage error."""
    with serving(tmp_path, tmp_path / "log") as server:
        ended = unspool("top", server.address)
        assert ended.code == 2
        assert ended.complaint.endswith("does not tell which calls it is answering (it was started without --admin)")
        assert unspool("top", f"{server.address}/a").complaint.endswith(f"is named without a file: {server.address}")


@needs_tmux
def test_a_terminal_is_redrawn_until_ctrl_c(tmp_path: Path) -> None:
    """On a terminal the calls are shown as they are, again and again; a server may go and come back; Ctrl-C leaves."""
    with serving(tmp_path, tmp_path / "log", "--admin") as server, screen(tmp_path, 100) as shown:
        address = server.address
        shown.run("unspool", "top", "--interval", "0.5", address)
        shown.until(lambda found: found[0] == f"{address}: 0 calls, 0 B/s" and "NAME" in found[2])
        server.process.kill()
        shown.until(lambda found: found[0].endswith("; trying again"))
        with serving(tmp_path, tmp_path / "log", "--admin", listen=address):
            shown.until(lambda found: found[0] == f"{address}: 0 calls, 0 B/s")
            shown.press("C-c")
            shown.until(lambda found: "0 calls" not in "".join(found))
