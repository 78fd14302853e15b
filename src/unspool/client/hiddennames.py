"""Which files of a tree a server would not take, because their names begin with a dot: they are left out, and not sent in vain.

Rule 1: a server serves hidden names or not, as its operator chose, and does not say so. It is asked once, with the first hidden
        name, before a byte is sent: an upload that does not exist is abandoned, which changes nothing.
Rule 2: if the prefix is hidden itself, nothing is left out: then every file would be, and the errors of the files say why.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from unspool.client.endings import ENDS_UPLOADS
from unspool.client.storages import writable
from unspool.client.transfer import Transfer
from unspool.core.model import Omission
from unspool.core.names import is_hidden
from unspool.core.uploading import UPLOAD_ID_BYTES
from unspool.errors import InvalidNameError, UnspoolError, UnsupportedError
from unspool.local.walk import FoundFile


class HiddenNames:
    """Leaves out what a server does not take.

    Args:
        below: what the names at the server begin with.
        transfer: asks the server.
    """

    def __init__(self, below: str, transfer: Transfer) -> None:
        self._below = below
        self._transfer = transfer
        self._taken: bool | None = True if is_hidden(below) else None

    async def divide(self, files: Sequence[FoundFile]) -> tuple[list[FoundFile], list[Omission]]:
        """Return the files that the server may take, and the others as omissions.

        Raises:
            UnspoolError: an error that all files would get.
        """
        first = next((file.name for file in files if is_hidden(file.name)), None)
        if first is None:
            return list(files), []
        if self._taken is None:
            self._taken = await self._ask(self._below + first)
        if self._taken:
            return list(files), []
        omitted = [Omission("HIDDEN", file.name) for file in files if is_hidden(file.name)]
        return [file for file in files if not is_hidden(file.name)], omitted

    async def _ask(self, name: str) -> bool:
        """Return whether the server takes a file of that name. If it does not say, it is tried with the file itself."""

        async def abandon() -> None:
            transport = await writable(self._transfer, name)
            await transport.abandon_upload(secrets.token_bytes(UPLOAD_ID_BYTES), name)

        try:
            await self._transfer.call(abandon, name)
        except InvalidNameError:
            return False
        except UnspoolError as error:
            if isinstance(error, ENDS_UPLOADS) and not isinstance(error, UnsupportedError):  # it may have no such call
                raise
        return True
