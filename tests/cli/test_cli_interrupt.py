"""Ctrl-C in the middle of a download."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from cli.serveddir import Served
from gate import Gate
from interrupted import interrupt_get
from processes import ENVIRONMENT, UNSPOOL, eventually, outcome_of, running, serving, size_of, unspool

MIB = 1 << 20


@pytest.mark.parametrize("limit", [5 * MIB, 20 * MIB])
def test_interrupted_keeps_progress_and_the_same_command_goes_on(served: Served, tmp_path: Path, limit: int) -> None:
    """SIGINT ends `get` with exit 130 and one line, and the same command resumes."""
    out = tmp_path / "out"
    part = tmp_path / "out.unspool-part"
    done = interrupt_get(served.server.address, "big.bin", out, limit, "--quiet", "--jobs", "1")
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
    """--no-resume does not use the bytes of an earlier run."""
    out = tmp_path / "out"
    interrupt_get(served.server.address, "big.bin", out, 20 * MIB)
    assert size_of(tmp_path / "out.unspool-part") > 16 * MIB
    result = json.loads(unspool("get", "--json", "--no-resume", served.url("big.bin"), out).out)
    assert (result["resumed_from"], result["bytes_received"]) == (0, result["size"])
    assert out.read_bytes() == served.files["big.bin"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("number", "said"), [(signal.SIGTERM, "terminated"), (signal.SIGHUP, "hung up")])
def test_other_signals_keep_progress_too(served: Served, tmp_path: Path, number: signal.Signals, said: str) -> None:
    """SIGTERM and SIGHUP end `get` like Ctrl-C, each with the exit code of shells, and the journal is written."""
    out = tmp_path / "out"
    with Gate(served.server.address, 20 * MIB) as gate, running("get", "--quiet", f"{gate.address}/big.bin", out) as process:
        eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 17 * MIB)
        process.send_signal(number)
        done = outcome_of(process)
    assert done.code == 128 + number
    assert f"big.bin: {said}; run the same command again" in done.complaint
    result = json.loads(unspool("get", "--json", served.url("big.bin"), out).out)
    assert result["resumed_from"] > 16 * MIB
    assert out.read_bytes() == served.files["big.bin"]


def test_nohup_is_respected(served: Served, tmp_path: Path) -> None:
    """A process that ignores SIGHUP (nohup) goes on."""
    out = tmp_path / "out"
    with Gate(served.server.address, 20 * MIB) as gate:
        command = ["nohup", *UNSPOOL, "get", "--quiet", f"{gate.address}/big.bin", str(out)]
        with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            eventually(lambda: size_of(tmp_path / "out.unspool-part") >= 17 * MIB)
            process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 143


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_server_that_is_told_twice_ends_at_once(tmp_path: Path, workers: str, number: signal.Signals) -> None:
    """The first signal drains, for up to an hour here; the second one ends the server at once."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").write_bytes(bytes(50 * MIB))
    options = ("--grace", "3600", "--workers", workers, "--max-stream-bandwidth", "1000000")
    with (
        serving(tmp_path / "root", tmp_path / "log", *options) as server,
        running("get", "--quiet", f"{server.address}/a", tmp_path / "out"),
    ):
        eventually(lambda: size_of(tmp_path / "out.unspool-part") > 0)
        server.process.send_signal(number)
        eventually(lambda: "draining" in server.log.read_text())
        assert server.process.poll() is None
        server.process.send_signal(number)
        assert server.process.wait(10) == 128 + number


@pytest.mark.parametrize("command", ["cat", "ls", "stat"])
def test_every_command_can_be_interrupted(served: Served, command: str) -> None:
    """SIGINT ends any command that waits for its server, with exit 130 and one line."""
    with Gate(served.server.address, 0) as gate, running(command, f"{gate.address}/big.bin") as process:
        eventually(lambda: gate.connections)
        process.send_signal(signal.SIGINT)
        done = outcome_of(process)
    assert done.code == 130
    assert "interrupted" in done.complaint


@pytest.mark.parametrize("command", [["ls", "files.invalid"], ["get", "files.invalid/a.bin"], ["serve", "."], ["--help"]])
def test_ctrl_c_at_the_start_of_a_command_is_no_traceback(command: list[str], tmp_path: Path) -> None:
    """If it is interrupted while it is being loaded, a command ends with exit 130 and at most one line."""
    slow = tmp_path / "click.py"  # in place of the first imported module
    slow.write_text("import os, time\nos.write(2, b'loading\\n')\ntime.sleep(60)\n")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([*UNSPOOL, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"loading\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")
