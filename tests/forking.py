"""The other side of forkserver.py: runs commands of unspool, which look like processes of `subprocess`."""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, Self

_LOCK = threading.Lock()


class Command:
    """A running command, with the part of `subprocess.Popen` that tests use.

    Args:
        arguments: of the command.
        directory: the current directory of the command.
        environment: of all commands; it must be the same in each call.
        stdout, stderr: subprocess.PIPE, or a file.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        directory: str,
        environment: dict[str, str],
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
    ) -> None:
        self.args = ["unspool", *arguments]
        self.returncode: int | None = None
        self.stdout, out = _opened(stdout)
        self.stderr, err = _opened(stderr)
        umask = os.umask(0)
        os.umask(umask)
        told = json.dumps({"arguments": list(arguments), "directory": directory, "umask": umask}).encode()
        self._answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, _LOCK:
            socket.send_fds(_server(tuple(sorted(environment.items()))), [told], [out, err, theirs.fileno()])
        for end, given in ((out, stdout), (err, stderr)):
            if given == subprocess.PIPE:
                os.close(end)
        self._answer.settimeout(60)
        self.pid = int(self._answer.recv(64))

    def poll(self) -> int | None:
        """See subprocess."""
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        """See subprocess."""
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._answer.settimeout(timeout)
            try:
                self.returncode = os.waitstatus_to_exitcode(int(self._answer.recv(64)))
            except (TimeoutError, BlockingIOError):
                return None
            self._answer.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """See subprocess."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """See subprocess."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """See subprocess."""
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float | None = None) -> tuple[bytes | None, bytes | None]:
        """See subprocess."""
        deadline = None if timeout is None else time.monotonic() + timeout
        found = {pipe: bytearray() for pipe in (self.stdout, self.stderr) if pipe is not None and not pipe.closed}
        with selectors.DefaultSelector() as selector:
            for pipe in found:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                left = None if deadline is None else max(deadline - time.monotonic(), 0)
                ready = selector.select(left)
                if not ready and left == 0:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    found[key.fileobj] += data  # type: ignore[index]
                    if not data:
                        selector.unregister(key.fileobj)
        self.wait(None if deadline is None else max(deadline - time.monotonic(), 0.001))
        out, err = (found.get(pipe) if pipe is not None else None for pipe in (self.stdout, self.stderr))
        self._close()
        return None if out is None else bytes(out), None if err is None else bytes(err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self.wait()

    def _close(self) -> None:
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()


def _opened(given: int | IO[bytes]) -> tuple[IO[bytes] | None, int]:
    """Return our end of what a command writes to, and its end."""
    if given == subprocess.PIPE:
        ours, theirs = os.pipe()
        return os.fdopen(ours, "rb"), theirs
    return None, given if isinstance(given, int) else given.fileno()


def run(arguments: list[str], directory: str, environment: dict[str, str], seconds: float) -> tuple[int, bytes, bytes]:
    """Run a command to its end; return its exit code, and what it wrote to standard output and error.

    If it has not ended after so many seconds, it is killed, and subprocess.TimeoutExpired raised.
    """
    with Command(arguments, directory, environment) as command:
        try:
            out, err = command.communicate(seconds)
        except BaseException:
            command.kill()
            raise
        return command.wait(), out or b"", err or b""


@cache
def _server(environment: tuple[tuple[str, str], ...]) -> socket.socket:
    """Start the server of this process, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        program = Path(__file__).with_name("forkserver.py")
        process = subprocess.Popen(
            [sys.executable, "-P", str(program), str(theirs.fileno())],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end, ours, process)
    return ours


def _end(ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
    ours.close()  # that tells it to end
    process.wait()
