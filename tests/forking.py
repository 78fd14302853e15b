"""The other side of forkserver.py: runs a command of unspool to its end."""

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
from functools import cache
from pathlib import Path

_LOCK = threading.Lock()


def run(arguments: list[str], directory: str, environment: dict[str, str], seconds: float) -> tuple[int, bytes, bytes]:
    """Run `unspool ARGUMENTS`; return its exit code, as subprocess does, and what it wrote to standard output and error.

    Args:
        arguments: of the command.
        directory: the current directory of the command.
        environment: of all commands; it must be the same in each call.
        seconds: after which the command is killed, and subprocess.TimeoutExpired raised.
    """
    deadline = time.monotonic() + seconds
    umask = os.umask(0)
    os.umask(umask)
    told = json.dumps({"arguments": arguments, "directory": directory, "umask": umask}).encode()
    answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    try:
        with answer:
            with theirs, _LOCK:
                socket.send_fds(_server(tuple(sorted(environment.items()))), [told], [out_end, err_end, theirs.fileno()])
            os.close(out_end)
            os.close(err_end)
            answer.settimeout(60)
            pid = int(answer.recv(64))
            try:
                written = _read(out, err, deadline)
                answer.settimeout(max(deadline - time.monotonic(), 0.001))
                status = int(answer.recv(64))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(["unspool", *arguments], seconds) from None
    finally:
        os.close(out)
        os.close(err)
    return os.waitstatus_to_exitcode(status), written[out], written[err]


def _read(out: int, err: int, deadline: float) -> dict[int, bytes]:
    """Read two pipes to their ends."""
    found = {out: bytearray(), err: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in found:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(deadline - time.monotonic(), 0))
            if not ready and time.monotonic() >= deadline:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                found[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
    return {pipe: bytes(data) for pipe, data in found.items()}


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
