"""For tests, of unspool and of what is built on it: real servers on loopback, fake clocks, and faults on demand."""

from unspool.testing.clock import FakeClock
from unspool.testing.faults import FaultyTransport, StoreTransport
from unspool.testing.loopback import serve
from unspool.testing.recorder import Recorder
from unspool.testing.stores import FaultyStore

__all__ = ["FakeClock", "FaultyStore", "FaultyTransport", "Recorder", "StoreTransport", "serve"]
