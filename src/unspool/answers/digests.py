"""The SHA-256 of revisions, for clients that request it: computed once for each, and remembered, up to a limit.

Rule 1: one call at a time computes the SHA-256 of a revision, from its open file. Other calls wait for the result.
Rule 2: unfinished work is kept. If the client of the call that computes disconnects, the work stops after the current run, and
        the next call continues from there.
Rule 3: hashing happens in a worker thread and takes a turn for each run. Reading takes no turn.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unspool.answers.checksums import Checksums
from unspool.answers.kept import KeptChecksums, Row
from unspool.answers.patience import TurnGiver
from unspool.answers.spans import stopped_short_error
from unspool.core.checksum import crc32c
from unspool.core.model import Block, Bytes, Span
from unspool.stores.base import OpenFile

if TYPE_CHECKING:
    from hashlib import _Hash

_KNOWN = 10_000
"""Revisions whose SHA-256 is remembered, the same number as for the CRC32C: about 3 MB."""

_BEGUN = 64
"""Revisions whose SHA-256 has been computed in part: less than 1 KB each."""


@dataclass(slots=True)
class _Begun:
    """The work on one revision.

    Attributes:
        hash: of the bytes before `position`. It is replaced and never changed, because the thread of a cancelled call may
            still be working; it works on a copy.
        lock: held by the call that is computing.
    """

    hash: _Hash = field(default_factory=lambda: hashlib.sha256(usedforsecurity=False))
    position: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Digests:
    """The SHA-256 of revisions, known or begun.

    Args:
        run_size: bytes that are read and hashed at a time.
        kept: the file that keeps what was computed; None keeps nothing.
    """

    def __init__(self, run_size: int, kept: KeptChecksums | None = None) -> None:
        self._run_size = run_size
        self._kept = kept
        self._known: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        for row in () if kept is None else kept.rows:
            if row.sha256 is not None:
                self._known[row.name, row.revision] = row.sha256
        self._begun: OrderedDict[tuple[str, str], _Begun] = OrderedDict()

    async def sha256(self, file: OpenFile, checksums: Checksums, turns: TurnGiver) -> bytes:
        """Return the SHA-256 of the whole file.

        Args:
            file: read from the position at which earlier work on its revision stopped.
            checksums: record the CRC32C of all bytes read, so that they need not be read again for it.
            turns: for the hashing.

        Raises:
            FileChangedError: the file has changed since it was opened.
            DataLossError: the store returned fewer bytes than it said it holds.
        """
        key = (file.info.name, file.info.revision)
        digest = self._known.get(key)
        if digest is None:
            begun = self._begun.setdefault(key, _Begun())
            self._begun.move_to_end(key)
            while len(self._begun) > _BEGUN:
                self._begun.popitem(last=False)
            async with begun.lock:
                digest = self._known.get(key)
                if digest is None:
                    await self._go_on(begun, file, checksums, turns)
                    digest = begun.hash.digest()
                    if self._kept is not None:
                        self._kept.put(Row(*key, crc32c=None, sha256=digest))
        self._begun.pop(key, None)
        self._known[key] = digest
        self._known.move_to_end(key)
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return digest

    async def _go_on(self, begun: _Begun, file: OpenFile, checksums: Checksums, turns: TurnGiver) -> None:
        """Hash the rest of the file."""
        info = file.info
        async with aclosing(file.read(Span(begun.position, info.size), lambda _: self._run_size)) as runs:
            async for data in runs:
                async with turns.turn():
                    hashed, checksum = await asyncio.to_thread(_hashed, begun.hash, data)
                checksums.record(info, Block(begun.position, data, checksum))
                begun.hash, begun.position = hashed, begun.position + len(data)
        if begun.position != info.size:
            raise stopped_short_error(info, begun.position, info.size)


def _hashed(before: _Hash, data: Bytes) -> tuple[_Hash, int]:
    """Return the hash with some more bytes, and their CRC32C."""
    after = before.copy()
    after.update(data)
    return after, crc32c(data)
