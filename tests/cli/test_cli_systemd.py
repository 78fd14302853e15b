"""`unspool serve` under a service manager that behaves like systemd: over a real datagram socket."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes import ENVIRONMENT, serving
from unspool.cli.systemd import Notifier, notifier
from unspool.errors import InvalidRequestError


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(30)

    def told(self) -> dict[str, str]:
        """Wait for a message, and return it."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A path that is short enough for a socket."""
    return str(tmp_path_factory.mktemp("n") / "notify")


@pytest.fixture
def manager(path: str) -> Iterator[Manager]:
    """A service manager."""
    manager = Manager(path)
    yield manager
    manager.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_is_ready_reloads_and_stops(
    manager: Manager, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    """READY is sent once, when the server serves; SIGHUP sends RELOADING and READY; SIGTERM sends STOPPING, with a deadline."""
    monkeypatch.setitem(ENVIRONMENT, "NOTIFY_SOCKET", path)
    rules = tmp_path / "rules"
    rules.write_text('[[rule]]\nprefix = "a"\nwho = ["alice"]\nmay = ["read"]\n')
    root = tmp_path / "root"
    root.mkdir()
    with serving(root, tmp_path / "log", "--workers", workers, "--rules", str(rules), "--grace", "7") as server:
        ready = manager.told()
        assert ready == {"READY": "1", "STATUS": f"serving {root} on {server.address}"}
        server.process.send_signal(signal.SIGHUP)
        reloading = manager.told()
        assert reloading.pop("RELOADING") == "1"
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert manager.told() == {"READY": "1"}
        server.process.send_signal(signal.SIGTERM)
        stopping = manager.told()
        assert stopping.pop("STOPPING") == "1"
        assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 7_000_000
        assert server.process.wait(30) == 0


async def test_the_watchdog_is_fed_by_the_event_loop(manager: Manager, path: str) -> None:
    """With WATCHDOG_USEC the server sends a sign of life twice in that time, as long as the event loop runs."""
    told = notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())})
    told.ready("serving")
    assert manager.told()["READY"] == "1"
    for _ in range(3):
        assert await asyncio.to_thread(manager.told) == {"WATCHDOG": "1"}


async def test_the_watchdog_of_another_process_is_not_fed(manager: Manager, path: str) -> None:
    """With WATCHDOG_PID of another process, or an invalid value, there is no watchdog; abstract socket names work."""
    for environment in ({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {}):
        assert notifier(environment)._watchdog == 0
    name = f"@unspool-test-{os.getpid()}"
    other = Manager(f"\0{name[1:]}")
    notifier({"NOTIFY_SOCKET": name}).ready("serving")
    assert other.told()["READY"] == "1"
    other.close()


def test_what_cannot_be_told_is_a_warning(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A service manager that has closed its socket causes only a line in the log; without one nothing is logged."""
    with caplog.at_level(logging.WARNING):
        Notifier(path).stopping(1.0)
        Notifier().stopping(1.0)
    (record,) = caplog.records
    assert "STOPPING=1" in record.getMessage()


def test_a_grace_time_without_end_has_a_deadline(manager: Manager, path: str) -> None:
    """`--grace inf` waits for the last stream: the service manager is told so in a number that it can read."""
    Notifier(path).stopping(float("inf"))
    assert 10**15 < int(manager.told()["EXTEND_TIMEOUT_USEC"]) < 2**63


def test_a_reload_that_fails_is_over_too(manager: Manager, path: str) -> None:
    """READY follows RELOADING in any case: otherwise the service manager would wait."""

    def fail() -> None:
        raise InvalidRequestError("no")

    with pytest.raises(InvalidRequestError):
        Notifier(path).reloading(fail)
    assert [next(iter(manager.told())) for _ in range(2)] == ["RELOADING", "READY"]


def test_a_socket_that_was_passed_is_refused(tmp_path: Path) -> None:
    """Socket activation is exit 2 and one line that says what to do; LISTEN_FDS of another process is ignored."""
    program = "import os; os.environ['LISTEN_PID'] = str(os.getpid()); from unspool.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", tmp_path, "--listen", "127.0.0.1:0"],
        env={**ENVIRONMENT, "LISTEN_FDS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "without its .socket unit" in done.stderr
    notifier({"LISTEN_PID": "1", "LISTEN_FDS": "1"})
