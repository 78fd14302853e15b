"""Helpers of the local store's tests: open files, and system calls that block."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest


def overwrite(path: Path, data: bytes) -> None:
    """Write a file in place, so that its readers see the bytes change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def replace(path: Path, data: bytes) -> None:
    """Write another file and rename it: readers of the old one keep its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.parent / ".new"
    beside.write_bytes(data)
    beside.rename(path)


def descriptors_below(directory: Path) -> list[str]:
    """Return the paths below a directory, itself included, that this process has open; one for each descriptor."""
    opened = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the descriptor that reads this directory
            opened.append(str(descriptor.readlink()))
    return sorted(path for path in opened if path == str(directory) or path.startswith(f"{directory}/"))


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until other threads have made a condition true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Stuck:
    """A system call that blocks until it is released, if its arguments match.

    Args:
        call: its name in the module os.
        when: returns by the arguments whether a call blocks.

    Attributes:
        reached: set as soon as a call blocks.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:
        self.reached = threading.Event()
        self._released = threading.Event()
        real = getattr(os, call)

        def stuck(*arguments: Any, **keywords: Any) -> Any:
            if when(*arguments, **keywords):
                self.reached.set()
                assert self._released.wait(60), "the test forgot to release the call"
            return real(*arguments, **keywords)

        monkeypatch.setattr(os, call, stuck)

    async def until_reached(self) -> None:
        """Wait until a call blocks."""
        await until(self.reached.is_set)

    def release(self) -> None:
        """Release the calls, now and later."""
        self._released.set()
