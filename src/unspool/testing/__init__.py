"""For tests, of unspool and of what is built on it: real servers on loopback, fake clocks, and faults on demand."""

from unspool.testing.clock import FakeClock
from unspool.testing.loopback import serve

__all__ = ["FakeClock", "serve"]
