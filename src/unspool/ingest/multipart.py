"""The contract of what obstore does not do: objects that are sent in parts, and a few requests more. The docstrings are it.

Its methods block, and raise only errors of `unspool.errors` and those below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from unspool.core.uploadrecord import SentPart
from unspool.ingest.spool import Body


class GoneError(Exception):
    """The store does not know the upload: it was completed, or removed. Raised and caught in `ingest/` only."""


class LostPartError(Exception):
    """The store does not have a part as it was sent. Raised and caught in `ingest/` only."""


class UnmetError(Exception):
    """The condition of a new object does not hold. Raised and caught in `ingest/` only."""


class Multipart(Protocol):
    """Requests to one bucket. `key` is that of the new object, without the prefix that is served."""

    @property
    def largest_object(self) -> int:
        """Most bytes of an object."""
        ...

    def begin(self, key: str, metadata: Mapping[str, str], content_type: str) -> str:
        """Begin an upload, and return the store's name for it. Of one that has no parts nothing has to be removed."""
        ...

    def send(self, key: str, upload: str, number: int, body: Body, crc32c: int) -> str:
        """Send a part, which replaces one that was sent under this number; return its entity tag. Numbers begin with 0.

        Raises:
            GoneError: the store does not know the upload.
        """
        ...

    def parts(self, key: str, upload: str) -> Mapping[int, tuple[int, str]]:
        """Return the parts that the store has, by number: the length and the entity tag of each.

        Raises:
            GoneError: the store does not know the upload.
        """
        ...

    def complete(self, key: str, upload: str, parts: Sequence[SentPart], crc32c: int, only_if: str | None) -> str:
        """Make the object of its parts, and return its entity tag. After UnmetError the parts are still there.

        Args:
            key: the object's.
            upload: the store's name for the upload.
            parts: all of them, in their order.
            crc32c: of the whole.
            only_if: "" if there must be no object; the entity tag of the one that must be there; None if there may be anything.

        Raises:
            UnmetError: the condition does not hold.
            LostPartError: the store does not have a part as it was sent, or the whole has another checksum.
            GoneError: the store does not know the upload.
        """
        ...

    def abort(self, key: str, upload: str) -> None:
        """Remove an upload and its parts. One that the store does not know is no error."""
        ...

    def delete(self, key: str, only_if: str) -> None:
        """Remove an object that has this entity tag. One that is not there is no error.

        Raises:
            UnmetError: it has another one.
        """
        ...

    def checksum(self, key: str) -> tuple[str, int] | None:
        """Return the entity tag and the CRC32C of an object, if the store keeps one of the whole object; else None."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
