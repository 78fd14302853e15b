"""A download to a local path: resume, restart, repair, commit.

Rule 1: what an earlier run left is read again before it is built upon, and used only at the revision it belongs to.
Rule 2: the file changed on the server: begin again from zero, once, and then again only if bytes had arrived in between.
Rule 3: the whole does not agree although every block did: read what is here again and fetch what is damaged; if nothing is
        damaged here and the bytes are of an earlier run or of more than one attempt, begin again from zero. Once; then fail.
Rule 4: what the local disk refuses ends the download, before another attempt is made.

How what is missing gets here is told in fetch.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from unspool.client.events import Observer, Rechecked, Repairing, Restarting, Started
from unspool.client.fetch import Fetch
from unspool.client.transfer import Seams, Transfer
from unspool.client.verify import verify, whole_checksum
from unspool.core.journal import Journal
from unspool.core.model import FileInfo, Summary
from unspool.core.ranges import Ranges
from unspool.core.segments import segment_size_for
from unspool.errors import (
    DestinationExistsError,
    FileChangedError,
    FileMismatchError,
    LocalFileError,
    StartPastEndError,
    UnspoolError,
    UnsupportedError,
    VerificationError,
)
from unspool.local.destination import Destination
from unspool.local.disk import Disk
from unspool.local.partfile import PartFile
from unspool.options import TransferOptions

Verified: TypeAlias = Literal["file", "blocks", "none"]
"""How far a result was verified: `file`, the whole against the server's checksum; `blocks`, every block, but the server gave
no checksum of the whole; `none`, because the dialect has no checksums."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a download came to.

    Attributes:
        name: the file on the server.
        path: the local file; None if it went to a writer.
        size: bytes of the whole file.
        revision: what the bytes are; None if the dialect has no revisions.
        verified: how far, see `Verified`.
        crc32c: of the whole file as it is here.
        bytes_received: verified bytes that came over the wire now.
        resumed_from: bytes that were here already and were used.
        attempts: streams opened.
        restarts: how often it began again from zero.
        seconds: how long it took.
    """

    name: str
    path: str | None
    size: int
    revision: str | None
    verified: Verified
    crc32c: int
    bytes_received: int
    resumed_from: int
    attempts: int
    restarts: int
    seconds: float


async def download(
    name: str, opens: Callable[[], Destination], seams: Seams, options: TransferOptions, observer: Observer
) -> Result:
    """Download a file to a destination, which is opened in the thread that waits for the disk; see `Client.get`."""
    one = _Download(name, opens, seams, options, observer)
    try:
        result = await one.run()
    except BaseException:
        with suppress(LocalFileError):  # what went wrong first is what is told
            one.close()
        raise
    one.close()
    return result


class _Download:
    def __init__(
        self, name: str, opens: Callable[[], Destination], seams: Seams, options: TransferOptions, observer: Observer
    ) -> None:
        self._name = name
        self._seams = seams
        self._options = options
        self._observer = observer
        self._transfer = Transfer(seams, options, observer)
        self._opens = opens
        self._opened: PartFile | None = None
        self._disk = Disk()
        self._started = seams.clock.monotonic()
        self._restarts = 0
        self._received_at_restart = 0
        self._forget()

    def _forget(self) -> None:
        """Begin from zero: nothing here is of use, nothing is known of the file."""
        self._begun = False  # whether the part file holds bytes of this download
        self._announced = False
        self._info: FileInfo | None = None
        self._size: int | None = None
        self._end: Summary | None = None  # of the read that reached the end of the file
        self._resumed_from = 0

    async def run(self) -> Result:
        """Do it all."""
        await self._disk.do(self._open)
        if (already := await self._already_there()) is not None:
            await self._disk.do(self._part.discard)  # what an earlier run left is of no use any more
            return already
        await self._take_up()
        mended = False
        while True:
            try:
                await self._fetch()
                verified = await self._check_whole()
            except FileChangedError as error:
                self._restart_or_raise(error)
            except StartPastEndError as error:
                self._restart_or_raise(self._shrunk(error))
            except FileMismatchError as error:
                if mended:
                    raise
                mended = True
                await self._mend_or_raise(error)
            else:
                return await self._commit(verified)

    def close(self) -> None:
        """Keep what is good. Blocks until the disk is done with its last call, so that nothing is left running."""
        self._disk.close()
        if self._opened is not None:
            self._opened.close()

    # Beginning

    @property
    def _part(self) -> PartFile:
        assert self._opened is not None
        return self._opened

    def _open(self) -> None:
        self._opened = PartFile(self._opens())
        self._opened.acquire()

    async def _already_there(self) -> Result | None:
        """Return the result if the destination is the server's file already."""
        copy = self._part.destination.copy()
        if not await self._disk.do(copy.is_file):
            return None
        try:
            info = await verify(self._name, copy, self._transfer, self._seams)
        except (VerificationError, FileChangedError, UnsupportedError):
            if not self._options.overwrite:
                raise DestinationExistsError(
                    f"{copy.path}: exists and is not the server's file: allow it to be replaced (--overwrite), "
                    "or name another destination",
                    name=self._name,
                ) from None
            return None
        self._observer.notify(Started(self._name, info.size, info.size))
        assert info.crc32c is not None
        self._info, self._size, self._resumed_from = info, info.size, info.size
        return self._result("file", info.crc32c)

    async def _take_up(self) -> None:
        """Build on what an earlier run left, if it is of this file and still what it was."""
        journal = self._part.journal
        if not self._options.resume or journal is None or not journal.is_about(self._name, self._seams.transport.source):
            return
        await self._recheck()
        self._begun = True
        self._size = journal.size
        if journal.revision is not None and journal.size is not None:
            self._info = FileInfo(self._name, journal.size, journal.revision)
        self._resumed_from = self._part.good_bytes

    async def _recheck(self) -> None:
        """Read what is here again."""
        while (left := await self._disk.do(self._part.recheck)) > 0:
            self._observer.notify(Rechecked(self._part.good_bytes, left))

    # Going on

    async def _fetch(self) -> None:
        """Fetch what is missing. On return every byte is here."""
        missing = self._missing()
        if missing:
            fetch = Fetch(
                self._name,
                self._part,
                self._disk,
                Ranges(missing, self._part.segment_size),
                pinned=self._info,
                begin=self._begin,
                seams=self._seams,
                options=self._options,
                observer=self._observer,
                transfer=self._transfer,
            )
            await fetch.run()
            if fetch.end is not None:
                self._end, self._size = fetch.end, fetch.end.end
        if not self._announced:  # nothing was missing
            await self._begin(self._info)

    def _missing(self) -> list[tuple[int, int | None]]:
        """Return what is missing, as pairs of the first byte and one past the last; None where nobody knows the end."""
        if not self._begun:
            return [(0, None)]
        if self._size is None:
            unbroken = self._part.first_gap(None)
            assert unbroken is not None
            return [(unbroken.start, None)]
        return [(gap.start, gap.stop) for gap in self._part.gaps(self._size)]

    async def _begin(self, info: FileInfo | None) -> None:
        """Take note of the first header."""
        if self._announced:
            return
        self._announced = True
        if info is not None:
            self._info, self._size = info, info.size
        if not self._begun:
            journal = Journal(
                name=self._name,
                source=self._seams.transport.source,
                revision=info.revision if info else None,
                size=self._size,
                segment_size=segment_size_for(self._size),
            )
            await self._disk.do(lambda: self._part.begin(journal))
            self._begun = True
        self._observer.notify(Started(self._name, self._size, self._resumed_from))

    def _shrunk(self, error: StartPastEndError) -> FileChangedError:
        """Say what it means that the server's file is shorter than what is here: how it shows where there are no revisions."""
        changed = FileChangedError(
            f"{self._name}: the file changed on the server: it ends before byte {error.offset}, up to which it is here",
            name=self._name,
            offset=error.offset,
        )
        changed.__cause__ = error
        return changed

    def _restart_or_raise(self, error: FileChangedError) -> None:
        received = self._transfer.tally.bytes_received
        if self._options.on_change == "fail" or (self._restarts and received == self._received_at_restart):
            raise error
        self._restart(error)

    def _restart(self, error: UnspoolError) -> None:
        self._restarts += 1
        self._received_at_restart = self._transfer.tally.bytes_received
        self._observer.notify(Restarting(error))
        self._forget()

    # Ending

    async def _check_whole(self) -> Verified:
        """Compare the whole with the server's word."""
        if self._info is None:
            return "none"
        if self._end is None:  # the last byte was here before this run, or who fetched it asked for no more than a part
            theirs = await whole_checksum(self._info, self._transfer)
        else:
            theirs = self._end.crc32c
        if theirs is None:
            return "blocks"
        ours = self._part.checksum(self._info.size)
        if ours != theirs:
            raise FileMismatchError(
                f"{self._name}: every block was right, but the whole is not what the server says "
                f"(crc32c {ours or 0:08x} here, {theirs:08x} there): run it again with --no-resume",
                name=self._name,
            )
        return "file"

    async def _mend_or_raise(self, error: FileMismatchError) -> None:
        """Find out what is wrong with the whole, and forget that much of it."""
        before = self._part.good_bytes
        self._part.recheck_all()
        await self._recheck()
        bad = before - self._part.good_bytes
        if bad:
            self._end = None
            self._observer.notify(Repairing(bad))
        elif self._resumed_from or self._transfer.tally.attempts > 1:
            self._restart(error)
        else:
            raise error

    async def _commit(self, verified: Verified) -> Result:
        size = self._size
        assert size is not None
        checksum = self._part.checksum(size)
        assert checksum is not None
        await self._disk.do(lambda: self._part.commit(size, overwrite=self._options.overwrite))
        return self._result(verified, checksum)

    def _result(self, verified: Verified, checksum: int) -> Result:
        assert self._size is not None
        return Result(
            name=self._name,
            path=str(self._part.destination.path),
            size=self._size,
            revision=self._info.revision if self._info else None,
            verified=verified,
            crc32c=checksum,
            bytes_received=self._transfer.tally.bytes_received,
            resumed_from=self._resumed_from,
            attempts=self._transfer.tally.attempts,
            restarts=self._restarts,
            seconds=self._seams.clock.monotonic() - self._started,
        )
