"""Signals that end what is running."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def on(*numbers: signal.Signals, call: Callable[[signal.Signals], None]) -> None:
    """Call something on the running event loop for each of these signals that comes, in place of what was called before.

    One that whoever started us had ignored stays so, as `nohup` wants it.
    """
    loop = asyncio.get_running_loop()
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, call, number)
