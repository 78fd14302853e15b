"""An observer that keeps all events."""

from __future__ import annotations

from typing import Generic, TypeVar

E = TypeVar("E")


class Recorder(list[E], Generic[E]):
    """A list of events, of a client or of a server: `serve(store, observers=[ended := Recorder()])`."""

    def notify(self, event: E) -> None:
        """Keep an event."""
        self.append(event)
