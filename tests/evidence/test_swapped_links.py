"""Symbolic links that are exchanged while a real server is asked for files behind them."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from itertools import cycle
from pathlib import Path

from evidence.seeds import DEEP
from processes import serving
from unspool import Client, TransferOptions
from unspool.core.retry import RetryPolicy
from unspool.errors import UnspoolError

READS = 5_000 if DEEP else 400


def exchange(link: Path, targets: list[Path], stop: threading.Event) -> None:
    """Point a link at one target after another, as fast as the disk allows."""
    for number, target in enumerate(cycle(targets)):
        if stop.is_set():
            return
        new = link.with_name(f".{number}")
        new.symlink_to(target)
        os.replace(new, link)  # noqa: PTH105 - replaces the link at once


async def test_what_is_outside_is_never_served(tmp_path: Path) -> None:
    """A link that alternates between a directory inside and one outside during reads gives the file inside or an error.

    Both happen, and a listing through it never names a file outside.
    """
    root, outside = tmp_path / "served", tmp_path / "outside"
    for directory in (root / "in", outside):
        directory.mkdir(parents=True)
    (root / "in" / "f").write_bytes(b"inside!" * 1000)
    (outside / "f").write_bytes(b"secret!" * 1000)
    (outside / "named").write_bytes(b"")
    (root / "link").symlink_to("in")
    stop = threading.Event()
    swapping = threading.Thread(target=exchange, args=(root / "link", [Path("in"), outside, Path("../outside")], stop))
    served = refused = 0
    with serving(root, tmp_path / "log") as server:
        swapping.start()
        try:
            async with Client(server.address, options=TransferOptions(retry=RetryPolicy(budget=0))) as client:
                for _ in range(READS):
                    try:
                        assert bytes(await client.read("link/f")) == b"inside!" * 1000
                        served += 1
                    except UnspoolError:
                        refused += 1
                    with suppress(UnspoolError):
                        assert "link/named" not in [entry.name async for entry in client.list("link")]
        finally:
            stop.set()
            swapping.join()
    assert served
    assert refused
