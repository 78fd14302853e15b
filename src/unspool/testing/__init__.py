"""For tests, of unspool and of what is built on it: real servers on loopback, fake clocks, faults on demand, contracts.

`StoreContract` and `Stock` need pytest, pytest-asyncio and hypothesis (`pip install unspool[contract]`), and are loaded when
they are first wanted; the rest needs none of these.

loopback.py        a real server; recorder.py: an observer that keeps all events; clock.py: a clock that never waits
stores.py          a store that fails on demand; faults.py: transports that do; uploads.py: one that takes uploads
uploadbook.py      the rules of uploads, in memory; multipart.py: uploads in parts, in memory
proxy.py           a TCP proxy that behaves like a bad network
faultserver.py     a server whose faults follow a script; faultscript.py: its syntax; http2.py: its connections

storecontract.py   the contract of stores; smallcontract.py: of small files; stock.py: a store that the contract may change
ingestcontract.py  the contract of ingesters; deletecontract.py: of deletions; ingesting.py: what its parts share

conformance.py     whether any server follows PROTOCOL.md; points.py: a list of points; probe.py, writingprobe.py: raw calls
readingpoints.py   the points of reading; batchpoints.py, writingpoints.py, smallpoints.py: of batches, uploads, small files
tokeninterceptors.py   sends a token with each of these calls
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from unspool.core.extras import extra
from unspool.testing.clock import FakeClock
from unspool.testing.faults import FaultyTransport, StoreTransport
from unspool.testing.loopback import serve
from unspool.testing.recorder import Recorder
from unspool.testing.stores import FaultyStore

if TYPE_CHECKING:
    from unspool.testing.stock import Stock
    from unspool.testing.storecontract import StoreContract

__all__ = ["FakeClock", "FaultyStore", "FaultyTransport", "Recorder", "Stock", "StoreContract", "StoreTransport", "serve"]

_HOMES = {"Stock": "unspool.testing.stock", "StoreContract": "unspool.testing.storecontract"}

ASSERTING = (
    "unspool.testing.deletecontract",
    "unspool.testing.ingestcontract",
    "unspool.testing.stock",
    "unspool.testing.smallcontract",
    "unspool.testing.storecontract",
)
"""Modules whose assertions pytest explains."""


def __getattr__(name: str) -> object:
    """Import the names that need pytest when they are first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with extra("contract"):
        import pytest  # noqa: PLC0415 - see above

    pytest.register_assert_rewrite(*(module for module in ASSERTING if module not in sys.modules))
    return getattr(import_module(home), name)
