"""The client's calls that write: put."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike

from unspool.client.arguments import local_path
from unspool.client.connected import Connected
from unspool.client.events import Observer
from unspool.client.progress import Progress, observers_of
from unspool.client.results import PutResult
from unspool.client.transfer import Transfer
from unspool.core.names import check_name
from unspool.core.uploadid import KEY_BYTES, upload_id
from unspool.core.uploading import UPLOAD_ID_BYTES, Condition
from unspool.errors import InvalidRequestError
from unspool.local.source import FileSource, Source
from unspool.local.streamsource import Reader, StreamSource, check_reader
from unspool.options import TransferOptions


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
        from unspool.client.upload import Upload  # noqa: PLC0415 - most clients only read
        from unspool.client.uploadstream import Material  # noqa: PLC0415 - as above

        check_name(name)
        if if_absent and if_revision is not None:
            raise InvalidRequestError(f"{name}: if_absent and if_revision exclude each other", name=name)
        options = options or self.options
        transfer = Transfer(self._open_seams(), options, self._observers(observers_of(observers, progress)))
        opened: Source
        ids: Callable[[int], bytes] = _random_id
        if isinstance(source, (str, PathLike)):
            opened = file = await asyncio.to_thread(FileSource, local_path(source))
            path = str(file.path)
            key = await self._upload_key() if options.resume else secrets.token_bytes(KEY_BYTES)
            modified = file.attributes.modified_ns or 0
            ids = partial(upload_id, key, name, file.size, modified)
        else:
            check_reader(source)
            opened, path = StreamSource(source, name), None
        material = Material(opened, transfer)
        try:
            with transfer.told("put", name):
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


def _random_id(_: int) -> bytes:
    return secrets.token_bytes(UPLOAD_ID_BYTES)
