"""The log of a server, and of a client that is asked for one: lines for people, or JSON."""

from __future__ import annotations

import dataclasses
import json
import logging
from datetime import UTC, datetime
from typing import Literal

from unspool.cli.output import printable


def set_up_log(log_format: Literal["human", "json"], *, quiet: bool, worker: int | None = None) -> None:
    """Log to standard error, one line per record. `worker` is the number of this process if there are several."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines(worker) if log_format == "json" else _HumanLines(worker))
    logging.basicConfig(level=logging.WARNING if quiet else logging.INFO, handlers=[handler])


class _HumanLines(logging.Formatter):
    """Time, level and message on one line. A traceback is indented, so that its lines cannot be taken for log lines."""

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._who = "" if worker is None else f"worker {worker}: "

    def format(self, record: logging.LogRecord) -> str:
        """Return one line and perhaps a traceback, escaped because file names come from outside."""
        lines = [f"{self.formatTime(record)} {record.levelname} {self._who}{printable(record.getMessage())}"]
        if record.exc_info:
            lines += [f"    {printable(line)}" for line in self.formatException(record.exc_info).splitlines()]
        return "\n".join(lines)


class _JsonLines(logging.Formatter):
    """One JSON object per line. The end of a call and an event of a client have their fields in place of a message.

    Times are RFC 3339, in UTC.
    """

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._who = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname,
            "logger": record.name,
            **self._who,
        }
        end = getattr(record, "transfer", None)
        event = getattr(record, "fields", None)
        if event is not None:
            fields.update(event)
        elif end is None:
            fields["message"] = record.getMessage()
        else:
            fields.update(dataclasses.asdict(end))
            for seldom in ("batch", "limit"):
                if not fields[seldom]:
                    del fields[seldom]
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)
