"""A download to a local path: resume, restart, repair, commit.

Rule 1: a download resumes from an earlier run's part file only if that belongs to the same file and revision (unfinished.py).
Rule 2: if the file changes on the server, the download begins again from zero, a few times, each after a longer wait. Then it
        fails: the file changes faster than it can be fetched.
Rule 3: if the checksum of the whole file differs although every block was correct, the client reads the part file again and
        fetches the damaged segments. If no segment is damaged, but bytes come from an earlier run or from several attempts,
        the download begins again from zero. Either happens once; a second mismatch is an error.

fetch.py fetches the missing bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from unspool.client.events import Observer, Repairing, Restarting, Started
from unspool.client.fetch import Fetch
from unspool.client.results import Result
from unspool.client.seams import Seams
from unspool.client.transfer import Transfer
from unspool.client.unfinished import Unfinished
from unspool.client.verify import verify, with_checksum
from unspool.core.counted import counted
from unspool.core.whole import Verified, check_whole
from unspool.errors import (
    DestinationExistsError,
    FileChangedError,
    FileKeepsChangingError,
    FileMismatchError,
    LocalFileError,
    StartPastEndError,
    UnsupportedError,
    VerificationError,
)
from unspool.local.destination import Destination
from unspool.options import TransferOptions


async def download(
    name: str, opens: Callable[[], Destination], seams: Seams, options: TransferOptions, observer: Observer
) -> Result:
    """Download a file to a destination, which `opens` opens in the disk's thread; see `Client.get`."""
    transfer = Transfer(seams, options, observer)
    here = Unfinished(name, opens, transfer)
    try:
        with transfer.observed("get", name):
            result = await _Download(transfer, here).run()
    except BaseException:
        with suppress(LocalFileError):  # the first error is the one to report
            here.close()
        raise
    here.close()
    return result


class _Download:
    def __init__(self, transfer: Transfer, here: Unfinished) -> None:
        self._transfer = transfer
        self._here = here
        self._options = transfer.options
        self._observer = transfer.observer
        self._started = transfer.seams.clock.monotonic()
        self._restarts = 0

    async def run(self) -> Result:
        """Download the file."""
        here = self._here
        await here.open()
        if (already := await self._already_there()) is not None:
            await here.discard()  # the part file is no longer needed
            return already
        if self._options.resume:
            await here.take_up()
        mended = False
        while True:
            try:
                await self._fetch()
                verified = await self._check_whole()
            except FileChangedError as error:
                await self._restart_or_raise(error)
            except StartPastEndError as error:
                await self._restart_or_raise(self._shrunk_error(error))
            except FileMismatchError as error:
                if mended:
                    raise
                mended = True
                await self._mend_or_raise(error)
            else:
                return self._result(verified, await here.commit(self._options))

    async def _already_there(self) -> Result | None:
        """Return the result if the destination already has the server's bytes."""
        here = self._here
        copy = await here.finished_copy()
        if copy is None:
            return None
        try:
            info = await verify(here.name, copy, self._transfer)
        except (VerificationError, FileChangedError, UnsupportedError):
            if not self._options.overwrite:
                raise DestinationExistsError(
                    f"{copy.path}: exists and is not the server's file: allow it to be replaced (overwrite=True), "
                    "or name another destination",
                    name=here.name,
                ) from None
            return None
        self._observer.notify(Started(here.name, info.size, info.size, self._transfer.id))
        assert info.crc32c is not None
        here.info, here.size, here.resumed_from = info, info.size, info.size
        await here.give(self._options.kept(info.attributes))
        return self._result("file", info.crc32c, already_here=True)

    async def _fetch(self) -> None:
        """Fetch the missing bytes. On return the part file is complete."""
        if self._here.missing():
            await Fetch(self._transfer, self._here).run()
        await self._here.describe(self._here.info)  # does something only if no byte was missing: then no header has come

    # Errors

    def _shrunk_error(self, error: StartPastEndError) -> FileChangedError:
        """Return the error for a file that is now shorter than its part file. Without revisions only this shows the change."""
        name = self._here.name
        changed = FileChangedError(
            f"{name}: the file changed on the server: it now ends before byte {error.offset}",
            name=name,
            offset=error.offset,
        )
        changed.__cause__ = error
        return changed

    async def _restart_or_raise(self, error: FileChangedError) -> None:
        if self._options.on_change == "fail":
            raise error
        if not await self._transfer.may_begin_again(error):
            raise FileKeepsChangingError(
                f"{error.message}; the download was begun again {counted(self._restarts, 'time')} already",
                name=error.name,
                offset=error.offset,
            ) from error
        self._begin_again()

    def _begin_again(self) -> None:
        self._restarts += 1
        self._here.forget()

    async def _mend_or_raise(self, error: FileMismatchError) -> None:
        """Find the damaged bytes and mark them as missing. Raises `error` if there is nothing to fetch again."""
        bad = await self._here.recheck_all()
        if bad:
            self._here.end = None
            self._observer.notify(Repairing(bad, self._transfer.id))
        elif self._here.resumed_from or self._transfer.tally.attempts > 1:
            self._observer.notify(Restarting(error, 0.0, self._transfer.id))
            self._begin_again()
        else:
            raise error

    # Success

    async def _check_whole(self) -> Verified:
        """Compare the checksum of the whole file with the server's."""
        info, end = self._here.info, self._here.end
        if info is None:
            return "none"
        # No read to the end of the file has sent a checksum: an earlier run had the last byte, or only ranges were requested.
        if end is None:
            info = self._here.info = await with_checksum(info, self._transfer)
        theirs = info.crc32c if end is None else end.crc32c
        return check_whole(info.name, self._here.part.checksum(info.size), theirs, "get it again with resume=False")

    def _result(self, verified: Verified, checksum: int, *, already_here: bool = False) -> Result:
        here, tally = self._here, self._transfer.tally
        assert here.size is not None
        return Result(
            name=here.name,
            path=str(here.part.destination.path),
            size=here.size,
            revision=here.info.revision if here.info else None,
            verified=verified,
            crc32c=checksum,
            bytes_received=tally.bytes_received,
            resumed_from=here.resumed_from,
            attempts=tally.attempts,
            restarts=self._restarts,
            seconds=self._transfer.seams.clock.monotonic() - self._started,
            already_here=already_here,
            servers=dict(tally.by_server),
            without=self._transfer.without,
        )
