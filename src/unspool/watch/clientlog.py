"""The log of a client: a record for each event, with the id of its transfer and the attempt, as in the server's log."""

from __future__ import annotations

import logging
from collections import OrderedDict

from unspool.client.events import (
    AttemptBegan,
    Event,
    FileFailed,
    Repairing,
    Restarting,
    Retrying,
    Started,
    TransferBegan,
    TransferEnded,
)

log = logging.getLogger("unspool.client")

_MOST = 10_000
"""Transfers whose attempts are remembered. A transfer that ends is forgotten."""


class ClientLog:
    """The observer that logs. Progress is not logged.

    Each record has `fields`: a dict with `event` (`began`, `attempt`, `started`, `retrying`, `restarting`, `repairing`,
    `failed` or `ended`), `transfer_id`, `attempt` (0 before the first) and what the event has besides.
    """

    def __init__(self) -> None:
        self._attempts: OrderedDict[str, int] = OrderedDict()

    def notify(self, event: Event) -> None:
        """See `Observer.notify`."""
        if isinstance(event, AttemptBegan):
            self._attempts[event.transfer] = event.attempt
            if len(self._attempts) > _MOST:
                self._attempts.popitem(last=False)
        described = _describe(event)
        if described is None:
            return
        level, kind, more = described
        attempt = self._attempts.get(event.transfer, 0)
        if isinstance(event, TransferEnded):
            self._attempts.pop(event.transfer, None)
        fields = {"event": kind, "transfer_id": event.transfer, "attempt": attempt, **more}
        said = " ".join(f"{key}={value!r}" for key, value in more.items())
        log.log(level, "%s transfer=%s attempt=%d %s", kind, event.transfer, attempt, said, extra={"fields": fields})


def _describe(event: Event) -> tuple[int, str, dict[str, object]] | None:
    """Return the level, the word and the fields of an event; None if it is not logged."""
    level, kind = logging.INFO, ""
    more: dict[str, object] = {}
    match event:
        case TransferBegan(call, name):
            kind, more = "began", {"call": call, "name": name}
        case AttemptBegan(_, server):
            kind, more = "attempt", {"server": server}
        case Started(name, size, resumed_from):
            kind, more = "started", {"name": name, "size": size, "resumed_from": resumed_from}
        case Retrying(error, _, wait):
            level, kind = logging.WARNING, "retrying"
            more = {"reason": error.reason, "message": error.message, "wait": wait}
        case Restarting(error, wait):
            level, kind = logging.WARNING, "restarting"
            more = {"reason": error.reason, "message": error.message, "wait": wait}
        case Repairing(bad):
            level, kind, more = logging.WARNING, "repairing", {"bytes": bad}
        case FileFailed(name, error):
            level, kind = logging.ERROR, "failed"
            more = {"name": name, "reason": error.reason, "message": error.message}
        case TransferEnded(_, _, outcome, message, _, _, received, seconds):
            level, kind = logging.INFO if outcome in ("OK", "CANCELLED") else logging.ERROR, "ended"
            more = {"outcome": outcome, "message": message, "bytes_received": received, "bytes_sent": event.bytes_sent}
            more["seconds"] = round(seconds, 6)
    return (level, kind, more) if kind else None
