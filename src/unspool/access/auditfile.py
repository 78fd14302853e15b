"""The audit: who was granted or denied what, one JSON object a line.

Rule 1: a line is written whole, with one call, so that several processes can share the file.
Rule 2: a line that cannot be written is counted and reported in the log, and the calls go on. The next line that can be written
        is preceded by one that says how many are missing.
Rule 3: it does not wait: if the reader of a pipe does not keep up, lines are lost and counted, and the server is not held up.
"""

from __future__ import annotations

import json
import logging
import os
import select
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime

from unspool.core.access import Decision
from unspool.core.oserrors import local_file_error, reason_of
from unspool.errors import InvalidRequestError, LocalFileError

log = logging.getLogger("unspool.access")

DESCRIPTOR = "fd:"
"""What an open descriptor is named by, in place of a file: `fd:3`."""

_ONLY_OURS = 0o600
"""The mode of a new file: it tells who reads what."""


def descriptor_of(where: str) -> int | None:
    """Return the number in `fd:3`; None if it is the name of a file. Raises InvalidRequestError if it is no number."""
    if not where.startswith(DESCRIPTOR):
        return None
    number = where.removeprefix(DESCRIPTOR)
    if not number.isdecimal():
        raise InvalidRequestError(f"{where!r}: a descriptor is a number, as in fd:3")
    return int(number)


class AuditFile:
    """Writes decisions to a file or an open descriptor: `Server(store, audit=AuditFile("audit.jsonl"))`.

    Args:
        where: the file, to which lines are appended, or `fd:3` for an open descriptor.
        grants: whether grants are written, too. Denials always are.
        clock: seconds since 1970.

    Raises:
        LocalFileError: it cannot be written.

    Attributes:
        grants: as given.
        lost: how many lines could not be written.
    """

    def __init__(self, where: str, *, grants: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.grants = grants
        self.lost = 0
        self._where = where
        self._clock = clock
        self._missing = 0  # lines lost since the last one that was written
        self._descriptor = self._open()

    def _open(self) -> int:
        try:
            if (number := descriptor_of(self._where)) is not None:
                descriptor = os.dup(number)
            else:
                descriptor = os.open(self._where, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _ONLY_OURS)
            os.write(descriptor, b"")  # fails if it is not open for writing
        except OSError as error:
            said = f"the audit cannot be written to {self._where}: {reason_of(error)}"
            raise local_file_error(said, error) from error
        self._waits = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        return descriptor

    def notify(self, decision: Decision) -> None:
        """Write a decision. It fails in the log only."""
        now = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        fields = {
            "time": now,
            "who": decision.who,
            "from": decision.address,
            "method": decision.method,
            "name": decision.name,
            "revision": decision.revision,
            "span": decision.span,
            "bytes": decision.bytes,
            "verdict": decision.verdict,
            "rule": decision.rule,
            "seconds": round(decision.seconds, 6),
        }
        lines = json.dumps(fields) + "\n"
        if self._missing:
            lines = json.dumps({"time": now, "lost": self._missing}) + "\n" + lines
        if said := self._write(lines.encode()):
            if not self._missing:
                log.error("the audit cannot be written to %s: %s; lines are lost from here on", self._where, said)
            self._missing += 1
            self.lost += 1
        elif self._missing:
            log.warning("the audit is written again: %d lines are missing", self._missing)
            self._missing = 0

    def _write(self, data: bytes) -> str | None:
        """Write lines; return what went wrong."""
        try:
            if self._waits and not select.select((), (self._descriptor,), (), 0)[1]:
                return "its reader does not keep up"
            if (written := os.write(self._descriptor, data)) < len(data):
                os.write(self._descriptor, b"\n")  # so that the next line is one
                return f"{written} of {len(data)} bytes of a line were written"
        except OSError as error:
            return reason_of(error)
        return None

    def reload(self) -> bool:
        """Open the file again, after it was moved away; return whether that worked. A descriptor stays as it is."""
        if descriptor_of(self._where) is not None:
            return True
        try:
            descriptor = self._open()
        except LocalFileError as error:
            log.error("the audit goes on where it was: %s", error)  # noqa: TRY400
            return False
        os.close(self._descriptor)
        self._descriptor = descriptor
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
