"""The client's calls that write: put, open_write, put_tree, preview_put_tree, delete, delete_tree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

from unspool.client.arguments import local_path
from unspool.client.connected import Connected
from unspool.client.events import Observer
from unspool.client.progress import Progress, observers_of
from unspool.client.transfer import Transfer
from unspool.core.names import check_name, check_prefix
from unspool.errors import InvalidRequestError
from unspool.options import TransferOptions

if TYPE_CHECKING:
    from unspool.client.treeresults import TreePreviewPage
    from unspool.client.writeresults import DeleteTreeResult, PutResult, PutTreeResult
    from unspool.client.writing import Writing
    from unspool.core.filters import Filter
    from unspool.core.model import FileInfo
    from unspool.local.source import Source
    from unspool.local.streamsource import Reader


class WriteCalls(Connected):
    """The calls that write; see `Client`."""

    async def put(
        self,
        source: str | PathLike[str] | Reader,
        name: str,
        *,
        if_absent: bool = False,
        if_revision: str | None = None,
        content_type: str = "",
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
        progress: Progress | None = None,
    ) -> PutResult:
        """Upload a file, whole and verified, or not at all: the name has the new file, or what was there before.

        From a path: an upload that an earlier call began with the same `upload_key` of the client goes on where it stopped,
        once the server has shown by checksums that its bytes are those of the file. The server gets the modification time and
        the executable bit, unless the options say otherwise. If the server has these bytes at the name already, nothing is
        sent. A file that changes meanwhile is an error, and nothing is committed.

        From a reader: the size is known only at its end, and it cannot be read twice. If the connection breaks, the call goes
        on while it remembers the bytes that the server lacks: the last 64 MiB. No other call can go on with it.

        Args:
            source: a path, or a reader of bytes.
            name: name that the file gets.
            if_absent: only if the server has no file of that name.
            if_revision: only if the server has the file at this revision.
            content_type: media type (RFC 6838). Only some stores record it; the others guess.
            progress: called as `progress(done, total)`, in bytes; see `Progress`.

        Raises:
            AlreadyExistsError: there is a file, and `if_absent` was given.
            FileChangedError: the file on the server is not at `if_revision`.
            SourceChangedError: the local file changed while it was uploaded.
            TakenOverError: another process goes on with this upload.
            UnsupportedError: the server, or the dialect, takes no files.
            UnspoolError: see `unspool.errors`. The server keeps what it has of the file.
        """
        import secrets  # noqa: PLC0415 - most clients only read

        from unspool.client.material import Material  # noqa: PLC0415 - as above
        from unspool.client.upload import Upload  # noqa: PLC0415 - as above
        from unspool.core.uploadid import KEY_BYTES, upload_id  # noqa: PLC0415 - as above
        from unspool.core.uploading import UPLOAD_ID_BYTES, Condition  # noqa: PLC0415 - as above
        from unspool.local.source import FileSource  # noqa: PLC0415 - as above
        from unspool.local.streamsource import StreamSource, check_reader  # noqa: PLC0415 - as above

        check_name(name)
        if if_absent and if_revision is not None:
            raise InvalidRequestError(f"{name}: if_absent and if_revision exclude each other", name=name)
        options = options or self.options
        transfer = Transfer(self._open_seams(), options, self._observers(observers_of(observers, progress)))
        opened: Source
        if isinstance(source, (str, PathLike)):
            opened = file = await asyncio.to_thread(FileSource, local_path(source))
            path = str(file.path)
            key = await self._upload_key() if options.resume else secrets.token_bytes(KEY_BYTES)
            modified = file.attributes.modified_ns or 0
            ids: Callable[[int], bytes] = partial(upload_id, key, name, file.size, modified)
        else:
            check_reader(source)
            opened, path = StreamSource(source, name), None
            ids = lambda _: secrets.token_bytes(UPLOAD_ID_BYTES)  # noqa: E731 - two ways to the same name
        material = Material(opened, transfer)
        try:
            with transfer.observed("put", name):
                return await Upload(
                    name,
                    material,
                    transfer,
                    ids,
                    condition=Condition(if_absent, if_revision),
                    attributes=replace(options.kept(opened.attributes), content_type=content_type),
                    path=path,
                ).run()
        finally:
            material.close()

    @asynccontextmanager
    async def open_write(
        self,
        name: str,
        *,
        if_absent: bool = False,
        if_revision: str | None = None,
        content_type: str = "",
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> AsyncGenerator[Writing, None]:
        """Open a file at the server for writing, for bytes that a program makes as it goes.

            async with client.open_write(name) as file:
                await file.write(b"...")

        At the end of the block the file gets its name, whole and verified, unless `commit` was called already. If the block is
        left by an exception, or after `abort`, the name has what it had. `write` waits when the server is slower. If the
        connection breaks, the upload goes on as `put` of a reader does; it cannot be resumed by another call.

        Arguments and errors as `put`. An error of the upload is raised by `write` or `commit`, or at the end of the block.
        """
        from unspool.client.feed import Feed  # noqa: PLC0415 - most clients only read
        from unspool.client.writing import Writing  # noqa: PLC0415 - as above

        feed = Feed()
        upload = self.put(
            feed,
            name,
            if_absent=if_absent,
            if_revision=if_revision,
            content_type=content_type,
            options=options,
            observers=observers,
        )
        writing = Writing(name, feed, asyncio.create_task(upload))
        try:
            yield writing
            if not writing.ended:
                await writing.commit()
        finally:
            await writing.abort()

    async def put_tree(
        self,
        directory: str | PathLike[str],
        prefix: str,
        *,
        filters: Sequence[Filter] = (),
        checksum: bool = False,
        if_absent: bool = False,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
        progress: Progress | None = None,
    ) -> PutTreeResult:
        """Upload all files below a directory, each whole and verified, or not at all.

        The name of a file is its path below the directory, after the prefix. A file that the server lists with the same size
        and the same modification time is skipped; one with the same size only is compared by checksum. Call it again after an
        interruption, and it goes on. Files that only the server has stay, and empty directories are not made.

        Symbolic links are followed if they lead to a regular file below the directory. Other links, special files and names
        that no server takes are left out, and in the result. If a file fails, the others are still uploaded; the result lists
        each failure and its error.

        Args:
            directory: the local directory.
            prefix: a name used as a directory; "" is the whole server.
            filters: as for `get_tree`, matched against the names below the directory.
            checksum: compare the checksums even if the times are the same. Every such file is read.
            if_absent: a file that the server has already with other bytes is a failure, and stays.
            progress: called as `progress(done, total)`, in bytes of the whole tree; see `Progress`.

        Raises:
            LocalFileError: the directory cannot be read.
            UnsupportedError: the server, or the dialect, takes no files.
            UnspoolError: an error that stops all files, such as a server that is gone or has no space.
        """
        from unspool.client.puttree import PutTree  # noqa: PLC0415 - only this call needs it
        from unspool.core.filters import Filters  # noqa: PLC0415 - as above
        from unspool.core.uploading import Condition  # noqa: PLC0415 - as above

        check_prefix(prefix)
        tree = PutTree(
            local_path(directory),
            prefix,
            self._open_seams(),
            options or self.options,
            self._observers(observers_of(observers, progress)),
            key=await self._upload_key(),
            filters=Filters(filters),
            checksum=checksum,
            condition=Condition(if_absent),
        )
        return await tree.run()

    async def preview_put_tree(
        self,
        directory: str | PathLike[str],
        prefix: str,
        *,
        filters: Sequence[Filter] = (),
        checksum: bool = False,
        options: TransferOptions | None = None,
    ) -> AsyncGenerator[TreePreviewPage, None]:
        """Yield what `put_tree` would send, page by page as the directory is read. Sends nothing.

        Arguments and errors as `put_tree`. A file whose checksum the server does not say counts as to be sent.
        """
        from unspool.client.puttree import PutTree  # noqa: PLC0415 - as above
        from unspool.core.filters import Filters  # noqa: PLC0415 - as above
        from unspool.core.uploading import Condition  # noqa: PLC0415 - as above

        check_prefix(prefix)
        tree = PutTree(
            local_path(directory),
            prefix,
            self._open_seams(),
            options or self.options,
            self._observers(()),
            key=b"",
            filters=Filters(filters),
            checksum=checksum,
            condition=Condition(),
        )
        async with aclosing(tree.preview()) as pages:
            async for page in pages:
                yield page

    async def delete(
        self,
        name: str,
        *,
        if_revision: str | None = None,
        options: TransferOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> FileInfo | None:
        """Delete a file, durably, and return its description as it was.

        None: the answer to an attempt was lost, and the file is not there any more. Without `if_revision` an attempt whose
        answer was lost is made again, and deletes what has the name by then: give the revision if somebody else may create
        the file again at once.

        Args:
            name: name of the file.
            if_revision: only if the server has the file at this revision.

        Raises:
            NotFoundError: there is no such file.
            FileChangedError: the file is at another revision.
            UnsupportedError: the server, or the dialect, takes no files.
            UnspoolError: see `unspool.errors`.
        """
        from unspool.client.deleting import delete  # noqa: PLC0415 - most clients only read

        check_name(name)
        transfer = self._transfer(options, observers)
        with transfer.observed("delete", name):
            return await delete(name, if_revision, transfer)

    async def delete_tree(
        self, prefix: str, *, options: TransferOptions | None = None, observers: Sequence[Observer] = ()
    ) -> DeleteTreeResult:
        """Delete all files below a prefix, each at the revision at which it was listed.

        A file that changes meanwhile stays, and is a failure, as is one that the caller may not delete; the others are still
        deleted. Names that the server does not list stay, and so do directories. Call it again after an interruption.

        Args:
            prefix: a name used as a directory; "" is the whole server. The name of a file deletes that file.

        Raises:
            NotFoundError: the prefix does not exist.
            UnsupportedError: the server, or the dialect, takes no files.
            UnspoolError: an error that stops all files, such as a server that is gone.
        """
        from unspool.client.deleting import DeleteTree  # noqa: PLC0415 - only this call needs it

        check_prefix(prefix)
        tree = DeleteTree(prefix, self._open_seams(), options or self.options, self._observers(observers))
        return await tree.run()
