"""What systemd is told (sd_notify(3)): ready, reloading, stopping, and that the event loop runs.

The protocol is a datagram to the Unix socket in NOTIFY_SOCKET. Where there is none, nobody is told. No failure of it ends a
server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

from unspool.errors import InvalidRequestError

log = logging.getLogger("unspool.systemd")

_LONGEST = 100 * 366 * 86_400
"""Seconds: as good as for ever, which has no number of microseconds."""


class Notifier:
    """Tells the service manager how the server is. Without a socket it tells nobody.

    Args:
        path: NOTIFY_SOCKET: a path, or a name in the abstract namespace after `@`; "" tells nobody.
        watchdog: seconds within which the service manager wants a sign of life; 0 if it wants none.
    """

    def __init__(self, path: str = "", watchdog: float = 0.0) -> None:
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._watchdog = watchdog

    def ready(self, status: str) -> None:
        """Tell that the server serves, and from now on that it is alive."""
        self._tell("READY=1", f"STATUS={status}")
        if self._watchdog:
            self._beat()

    def reloading(self, read: Callable[[], None]) -> None:
        """Tell that settings are read again, read them, and tell that the server is ready."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            read()
        finally:
            self._tell("READY=1")

    def stopping(self, seconds: float) -> None:
        """Tell that the server ends, within so many seconds: the service manager is not to kill it before."""
        self._tell("STOPPING=1", "STATUS=draining", f"EXTEND_TIMEOUT_USEC={int(min(seconds, _LONGEST) * 1e6)}")

    def _beat(self) -> None:
        """Give a sign of life, twice as often as is wanted, as sd_watchdog_enabled(3) recommends."""
        self._tell("WATCHDOG=1")
        asyncio.get_running_loop().call_later(self._watchdog / 2, self._beat)

    def _tell(self, *words: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
                one.settimeout(0)  # a service manager that does not read must not stop the server
                one.sendto("\n".join(words).encode(), self._address)
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", words[0], error.strerror or error)


def notifier(environment: Mapping[str, str] = os.environ) -> Notifier:
    """Return who tells the service manager that started this process.

    Raises:
        InvalidRequestError: it passed sockets, which gRPC cannot use.
    """
    mine = str(os.getpid())
    if environment.get("LISTEN_PID") == mine and environment.get("LISTEN_FDS", "0") != "0":
        raise InvalidRequestError(
            "systemd passed a socket (LISTEN_FDS), but gRPC for Python cannot serve on one that is open already: "
            "start the .service without its .socket unit"
        )
    watchdog = environment.get("WATCHDOG_USEC", "0") if environment.get("WATCHDOG_PID", mine) == mine else "0"
    return Notifier(environment.get("NOTIFY_SOCKET", ""), int(watchdog) / 1e6 if watchdog.isdecimal() else 0.0)
