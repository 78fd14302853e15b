"""Uploads in parts, in memory: the fake of `unspool.ingest.multipart`, over obstore's store in memory. It can misbehave."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unspool.core.extras import extra
from unspool.core.uploadparts import LARGEST_OBJECT
from unspool.core.uploadrecord import SentPart
from unspool.errors import UnspoolError
from unspool.ingest.multipart import GoneError, LostPartError, UnmetError
from unspool.ingest.spool import Body

with extra("objects"):
    from obstore.exceptions import AlreadyExistsError, PreconditionError

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import MemoryStore


@dataclass(slots=True)
class _Begun:
    """An upload that is not complete."""

    key: str
    attributes: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryMultipart:
    """See `Multipart`. Its methods may be called by several threads.

    Attributes:
        uploads: those that are not complete, by the name that the store gave them.
        ignores_conditions: whether an object is made whatever there is.
        loses_answer: whether the next completion fails after it was done.
        fails: errors that the next calls raise, one each.
        sent: how many parts were sent.
        most_at_once: how many were sent at the same time, at most.

    Args:
        objects: gets the objects.
    """

    largest_object = LARGEST_OBJECT

    def __init__(self, objects: MemoryStore) -> None:
        self.uploads: dict[str, _Begun] = {}
        self.ignores_conditions = False
        self.loses_answer = False
        self.fails: list[UnspoolError] = []
        self.sent = self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self._objects = objects
        self._lock = threading.Lock()
        self._count = self._now = 0

    def begin(self, key: str, metadata: Mapping[str, str], content_type: str) -> str:
        """See `Multipart.begin`."""
        self._fail()
        with self._lock:
            self._count += 1
            upload = f"upload-{self._count}"
            self.uploads[upload] = _Begun(key, {**metadata, **({"Content-Type": content_type} if content_type else {})})
        return upload

    def send(self, key: str, upload: str, number: int, body: Body, crc32c: int) -> str:  # noqa: ARG002 - it is believed
        """See `Multipart.send`. It waits for `gate`."""
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            self.gate.wait()
            self._fail()
            begun, data = self._begun(key, upload), b""
            while run := body.read(16384):
                data += run
            begun.parts[number] = data
            self.sent += 1
            return _tag(data)
        finally:
            with self._lock:
                self._now -= 1

    def parts(self, key: str, upload: str) -> Mapping[int, tuple[int, str]]:
        """See `Multipart.parts`."""
        return {number: (len(data), _tag(data)) for number, data in self._begun(key, upload).parts.items()}

    def complete(self, key: str, upload: str, parts: Sequence[SentPart], crc32c: int, only_if: str | None) -> str:  # noqa: ARG002 - see above
        """See `Multipart.complete`."""
        self._fail()
        begun = self._begun(key, upload)
        if [_tag(begun.parts.get(number, b"lost")) for number in range(len(parts))] != [part.tag for part in parts]:
            raise LostPartError
        data = b"".join(begun.parts[number] for number in range(len(parts)))
        attributes: Any = begun.attributes
        mode: PutMode = (
            "overwrite" if only_if is None or self.ignores_conditions else {"e_tag": only_if} if only_if else "create"
        )
        try:
            tag = str(self._objects.put(key, data, attributes=attributes, mode=mode)["e_tag"])
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            raise UnmetError from None
        del self.uploads[upload]
        if self.loses_answer:
            self.loses_answer = False
            raise GoneError  # what a client hears that asks again
        return tag

    def abort(self, key: str, upload: str) -> None:  # noqa: ARG002 - the names of uploads differ
        """See `Multipart.abort`."""
        self.uploads.pop(upload, None)

    def delete(self, key: str, only_if: str) -> None:
        """See `Multipart.delete`."""
        with self._lock:
            try:
                tag = self._objects.head(key)["e_tag"]
            except FileNotFoundError:
                return
            if tag != only_if and not self.ignores_conditions:
                raise UnmetError
            self._objects.delete(key)

    def checksum(self, key: str) -> tuple[str, int] | None:  # noqa: ARG002 - there is none
        """See `Multipart.checksum`. This store keeps none."""
        return None

    def close(self) -> None:
        """See `Multipart.close`."""

    def _begun(self, key: str, upload: str) -> _Begun:
        begun = self.uploads.get(upload)
        if begun is None or begun.key != key:
            raise GoneError
        return begun

    def _fail(self) -> None:
        with self._lock:
            if self.fails:
                raise self.fails.pop(0)


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
