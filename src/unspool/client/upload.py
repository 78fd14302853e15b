"""An upload: find what the server has, send the rest, commit; and again after whatever broke.

Rule 1: the id of an upload follows from what is uploaded (core/uploadid.py), so another run finds what this one has sent.
Rule 2: if the server has bytes that are not those of the file, they are discarded, a few times. Each block that is sent is read
        from a file that was opened once, and the upload is committed only if that file has not changed.
Rule 3: if the whole differs although every block was right, only the segments that differ are sent again, once.
Rule 4: a server that says in answer to `open` that the upload is committed is believed if this call has asked it to commit.
        Otherwise an earlier run has, and the name may have another file by now: then it is uploaded under another id.

uploadstream.py makes one attempt.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress

from unspool.client.events import Repairing, Started
from unspool.client.material import Material
from unspool.client.storages import writable, writing
from unspool.client.transfer import Transfer
from unspool.client.uploadstream import Exchange
from unspool.client.writeresults import PutResult
from unspool.core.counted import counted
from unspool.core.model import Attributes, FileInfo
from unspool.core.sender import Sender
from unspool.core.uploading import UPLOAD_ID_BYTES, Condition
from unspool.core.whole import check_whole
from unspool.errors import (
    AccessError,
    FileChangedError,
    FileKeepsChangingError,
    FileMismatchError,
    NotFoundError,
    ProtocolError,
    SourceChangedError,
    UnspoolError,
)

_MOST_GENERATIONS = 20
"""Ids to try before a random one is used. A second one is needed only if the same file is uploaded to the same name within a
day, and the name had another file in between. A server that has committed the random one, too, does not tell the truth."""

_ABANDONING = 5.0
"""Seconds to tell the server that it may remove the bytes of an upload that cannot go on."""


class Upload:
    """An upload of one file.

    Args:
        name: name that the file gets.
        material: what it is made of.
        transfer: makes the attempts.
        ids: returns the id of a generation.
        condition: what must be at the name.
        attributes: what the file gets.
        path: of the local file, for the result; None if there is none.
        look: whether to ask first what is at the name.
    """

    def __init__(
        self,
        name: str,
        material: Material,
        transfer: Transfer,
        ids: Callable[[int], bytes],
        *,
        condition: Condition,
        attributes: Attributes,
        path: str | None,
        look: bool = True,
    ) -> None:
        self._name = name
        self._material = material
        self._transfer = transfer
        self._ids = ids
        self._condition = condition
        self._attributes = attributes
        self._path = path
        self._looks = look and material.source.size is not None
        self._found: FileInfo | None = None
        self._started = transfer.seams.clock.monotonic()
        self._generation = 0
        self._sender = self._new_sender()
        self._resumed_from = self._restarts = 0
        self._told = False  # whether the observer knows the size
        self._mended = False

    async def run(self) -> PutResult:
        """Upload the file."""
        try:
            while True:
                await self._attempts()
                if await self._is_current(self._found):
                    return await self._result()
                if self._generation >= _MOST_GENERATIONS:
                    raise ProtocolError(f"{self._name}: the server says that it has committed it, and has another file there")
                self._generation += 1
                checksum, self._sender = self._sender.crc32c, self._new_sender()
                self._sender.crc32c = checksum
        except SourceChangedError:
            await self._abandon()
            raise
        except UnspoolError:
            if self._material.source.size is None or self._path is None:
                await self._abandon()  # a stream cannot be uploaded again by another run
            raise

    def _new_sender(self) -> Sender:
        last = self._generation >= _MOST_GENERATIONS
        return Sender(
            self._name,
            secrets.token_bytes(UPLOAD_ID_BYTES) if last else self._ids(self._generation),
            self._material.source.size,
            condition=self._condition,
            attributes=self._attributes,
            transfer_id=self._transfer.id,
        )

    # What the server has already

    async def _look(self) -> None:
        """Ask what is at the name, which may be nothing, or a secret. If it has the size of the file, the file is summed.

        This is part of the first attempt, so that an upload that succeeds at once has made one.
        """
        with suppress(NotFoundError, AccessError):
            self._found = await self._transfer.bounded(self._stat_there(), lambda: self._name)
        self._looks = False
        found = self._found
        if found is not None and found.size == self._material.source.size and not self._condition.absent:
            self._sender.crc32c = await self._material.checksum(found.size)

    async def _stat_there(self) -> FileInfo:
        return await (await writable(self._transfer, self._name)).stat(self._name)

    async def _is_current(self, found: FileInfo | None) -> bool:
        """Whether what was committed is the file, and still at the name."""
        sender = self._sender
        info, size = sender.info, self._material.source.size
        assert info is not None
        if not sender.committed_early or sender.asked_to_commit:
            return True
        assert size is not None
        if sender.crc32c is None:
            sender.crc32c = await self._material.checksum(size)
        if (info.size, info.crc32c or sender.crc32c) != (size, sender.crc32c):
            return False
        await self._material.check()
        if found is not None and found.revision == info.revision:
            return True
        try:
            now = await self._transfer.call(self._stat_there, self._name)
        except NotFoundError:
            return False
        except AccessError:
            return True  # who may write and not read has to believe it
        return now.revision == info.revision

    # Attempts

    async def _attempts(self) -> None:
        """Make attempts until the server has committed the file."""
        async for attempt in self._transfer.attempts():
            before = self._sender.progress
            with attempt:
                if self._looks:
                    await self._look()
                number = attempt.number
                while not await self._exchange(number):
                    number = self._transfer.next_attempt()
            attempt.progressed = self._sender.progress > before

    async def _exchange(self, number: int) -> bool:
        """Make one attempt. Return False if it ended because the server has bytes that it is to discard."""
        sender = self._sender
        try:
            transport = await writable(self._transfer, self._name)
            async with transport.write(self._name) as stream:
                agrees = await Exchange(self._transfer, sender, self._material, stream, self._agreed).run(number)
        except FileMismatchError as error:
            await self._mend_or_raise(error)
            return False
        except UnspoolError:
            if not sender.complete:  # an error after the file was committed does not matter
                raise
            return True
        if not agrees:
            await self._discard_or_raise()
        return agrees

    def _agreed(self, good: int) -> None:
        """Tell the observer where the upload begins, once the server has said what it has."""
        if not self._told:
            self._told = True
            self._resumed_from = good
            self._transfer.observer.notify(Started(self._name, self._material.source.size, good, self._transfer.id))

    async def _discard_or_raise(self) -> None:
        name = self._name
        error = FileChangedError(
            f"{name}: {counted(self._sender.discarded, 'byte')} that the server has are not those of the file, "
            "which has changed since they were uploaded",
            name=name,
        )
        if not await self._transfer.may_begin_again(error):
            raise FileKeepsChangingError(
                f"{error.message}; they were discarded {counted(self._restarts, 'time')} already", name=name
            )
        self._restarts += 1

    async def _mend_or_raise(self, error: FileMismatchError) -> None:
        """Find the segments that differ, which the next attempt sends again. Raises `error` if there is none."""
        sender = self._sender
        ours = await self._material.checksums([one.span for one in sender.claimed])
        if self._mended or not sender.claimed or sender.compare(ours):
            raise error
        self._mended = True
        self._transfer.observer.notify(Repairing(sender.discarded, self._transfer.id))

    async def _abandon(self) -> None:
        """Let the server remove the bytes of an upload that cannot go on. If it does not hear of it, they expire."""
        if not self._transfer.tally.attempts:
            return
        with suppress(UnspoolError, TimeoutError):
            async with self._transfer.seams.clock.timeout(_ABANDONING):
                await writing(self._transfer.transport).abandon_upload(self._sender.upload_id, self._name)

    # Success

    async def _result(self) -> PutResult:
        sender, tally = self._sender, self._transfer.tally
        info = sender.info
        assert info is not None
        self._agreed(info.size)
        checksum = await self._material.checksum(info.size)
        already = sender.committed_early and not sender.asked_to_commit
        return PutResult(
            name=self._name,
            path=self._path,
            size=info.size,
            revision=info.revision,
            verified=check_whole(self._name, checksum, info.crc32c),
            crc32c=checksum,
            bytes_sent=tally.bytes_sent,
            resumed_from=self._resumed_from,
            attempts=tally.attempts,
            restarts=self._restarts,
            seconds=self._transfer.seams.clock.monotonic() - self._started,
            already_there=already and not tally.bytes_sent,
            servers=dict(tally.by_server),
        )
