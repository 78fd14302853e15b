"""Ctrl-C in the middle of a download."""

import json
import signal
from pathlib import Path

import pytest

from cli.serveddir import Served
from gate import Gate
from interrupted import interrupt_get
from processes import eventually, outcome_of, running, size_of, unspool

MIB = 1 << 20


@pytest.mark.parametrize("limit", [5 * MIB, 20 * MIB])
def test_interrupted_keeps_progress_and_the_same_command_goes_on(served: Served, tmp_path: Path, limit: int) -> None:
    """SIGINT ends `get` with exit 130 and one line, and the same command goes on from what had arrived."""
    out = tmp_path / "out"
    part = tmp_path / "out.unspool-part"
    done = interrupt_get(served.server.address, "big.bin", out, limit, "--quiet")
    assert done.code == 130
    assert "big.bin: interrupted; run the same command again" in done.complaint
    arrived = size_of(part)
    assert not out.exists()
    again = unspool("get", "--json", served.url("big.bin"), out)
    result = json.loads(again.out)
    assert result["resumed_from"] == arrived > 0
    assert result["resumed_from"] + result["bytes_received"] == result["size"] == len(served.files["big.bin"])
    assert out.read_bytes() == served.files["big.bin"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_resume_begins_again(served: Served, tmp_path: Path) -> None:
    """--no-resume makes no use of what an earlier run left."""
    out = tmp_path / "out"
    interrupt_get(served.server.address, "big.bin", out, 20 * MIB)
    assert size_of(tmp_path / "out.unspool-part") > 16 * MIB
    result = json.loads(unspool("get", "--json", "--no-resume", served.url("big.bin"), out).out)
    assert (result["resumed_from"], result["bytes_received"]) == (0, result["size"])
    assert out.read_bytes() == served.files["big.bin"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("command", ["cat", "ls", "stat"])
def test_every_command_can_be_interrupted(served: Served, command: str) -> None:
    """SIGINT ends any command that waits for its server, with exit 130 and one line."""
    with Gate(served.server.address, 0) as gate, running(command, f"{gate.address}/big.bin") as process:
        eventually(lambda: gate.connections)
        process.send_signal(signal.SIGINT)
        done = outcome_of(process)
    assert done.code == 130
    assert "interrupted" in done.complaint
