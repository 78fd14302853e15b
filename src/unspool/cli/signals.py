"""Signals that end a command or a server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def on(*numbers: signal.Signals, call: Callable[[signal.Signals], None]) -> None:
    """Call `call` on the running event loop for each of these signals, in place of earlier handlers.

    A signal that was ignored when the process started stays ignored, as `nohup` requires.
    """
    loop = asyncio.get_running_loop()
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, call, number)
