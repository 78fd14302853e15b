"""Tells the audit what was decided about each call, when the call has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from unspool.core.access import Audit, Decision, Verdict
from unspool.server.entry import Call


class Decisions:
    """Tells an audit of the decisions about calls: one for each file of a batch, one for any other call.

    Args:
        audit: who is told.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    @contextmanager
    def audited(self, call: Call) -> Iterator[None]:
        """Tell the audit what was decided about a call, however it ends."""
        began = time.monotonic()

        def tell() -> None:
            for decision in self._decisions(call, time.monotonic() - began):
                self._audit.notify(decision)

        call.flush = tell
        try:
            yield
        finally:
            tell()

    def _decisions(self, call: Call, seconds: float) -> Iterator[Decision]:
        who = call.caller.principal.name if call.caller.principal is not None else None
        names = call.asked.names
        if call.refusal is not None:  # at the beginning, or while a stream ran
            verdict = Verdict(allowed=False, rule=str(call.refusal))
            yield self._decision(call, None, 0, names[0] if len(names) == 1 else "", verdict, seconds)
            return
        for index, (name, verdict) in enumerate(zip(names, call.verdicts, strict=False)):
            if self._audit.grants or not verdict.allowed:
                yield self._decision(call, who, index, name, verdict, seconds)

    @staticmethod
    def _decision(call: Call, who: str | None, index: int, name: str, verdict: Verdict, seconds: float) -> Decision:  # noqa: PLR0917
        sent = call.sent.get(index)
        revision, span = call.served.get(index, (None, None))
        return Decision(
            who,
            call.caller.address,
            call.method,
            name,
            revision,
            span,
            call.bytes if not call.asked.batch else 0 if sent is None else sent.bytes,
            "unidentified" if call.refusal is not None else "granted" if verdict.allowed else "denied",
            verdict.rule,
            seconds,
        )
