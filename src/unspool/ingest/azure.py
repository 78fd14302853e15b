"""Azure's blobs in blocks, through Azure's own library: obstore cannot go on with what another process has sent.

Blocks belong to a blob's name, not to an upload. So the name of an upload, which is made here, is in the id of each block; and
what Azure wants to know of the blob when its blocks become it, but not before, is in the name, too.

Rule 1: no text of the library's reaches a message: it has URLs, and what the store says. Only the code and the HTTP status are
        taken from it.
Rule 2: each block is sent with its MD5, which the store checks. The CRC32C of the whole is put into the blob's metadata.
Rule 3: blocks of which no blob was made cannot be removed. The store drops them when another blob gets the name, or in a week.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from unspool.core.extras import extra
from unspool.core.uploadparts import LARGEST_OBJECT
from unspool.core.uploadrecord import SentPart
from unspool.errors import InvalidRequestError, ServerError
from unspool.ingest.multipart import GoneError, LostPartError, UnmetError
from unspool.ingest.spool import Body
from unspool.stores.httpstatus import NO_BUCKET, status_error
from unspool.stores.objectinfo import CHECKSUM_KEY

with extra("azure"):
    from azure.core import MatchConditions
    from azure.core.exceptions import AzureError, HttpResponseError, ResourceModifiedError
    from azure.storage.blob import BlobBlock, BlobClient, BlockState, ContainerClient, ContentSettings

_ATTEMPTS = 4
"""Tries after the first one of a request, as obstore has them here (`stores.objects`)."""

_TIMEOUT = 60.0
"""Seconds without an answer, or in which no piece of a block could be sent (the library's default for connecting: 20)."""

_UNMET = ("ConditionNotMet", "BlobAlreadyExists")
_LOST = ("InvalidBlockList", "Md5Mismatch")
_PRECONDITION_FAILED, _NOT_FOUND = 412, 404

_MARK_DIGITS, _NUMBER_DIGITS = 16, 6
"""Of the upload and of the part in the id of a block. All ids of a blob must have one length."""

_KEYS = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY")
_SIGNATURES = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
_ENDPOINTS = ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")


class AzureBlocks:
    """See `Multipart`.

    Args:
        container: name of the container.
        prefix: of the keys; "" for none.
        environment: where the configuration comes from, as the environment of a process.

    Raises:
        InvalidRequestError: the configuration is incomplete.
    """

    largest_object = LARGEST_OBJECT

    def __init__(self, container: str, prefix: str, environment: Mapping[str, str]) -> None:
        self._prefix = f"{prefix}/" if prefix else ""
        self._container = _client(container, environment)

    def _blob(self, key: str) -> BlobClient:
        return self._container.get_blob_client(self._prefix + key)

    def begin(self, key: str, metadata: Mapping[str, str], content_type: str) -> str:  # noqa: ARG002 - nothing is sent
        """See `Multipart.begin`. It makes no request."""
        return secrets.token_hex(_MARK_DIGITS // 2) + json.dumps([dict(metadata), content_type])

    def send(self, key: str, upload: str, number: int, body: Body, crc32c: int) -> str:  # noqa: ARG002 - Azure has none
        """See `Multipart.send`. A block has no entity tag; its id stands for it."""
        block = f"{upload[:_MARK_DIGITS]}{number:0{_NUMBER_DIGITS}}"
        sent: Any = body
        with _mapped(key):
            self._blob(key).stage_block(block, sent, length=len(body), validate_content=True)
        return block

    def parts(self, key: str, upload: str) -> Mapping[int, tuple[int, str]]:
        """See `Multipart.parts`."""
        with _mapped(key, absent=GoneError):
            _, blocks = self._blob(key).get_block_list("uncommitted")
        mark = upload[:_MARK_DIGITS]
        return {int(one.id[_MARK_DIGITS:]): (one.size, one.id) for one in blocks if one.id.startswith(mark)}

    def complete(self, key: str, upload: str, parts: Sequence[SentPart], crc32c: int, only_if: str | None) -> str:
        """See `Multipart.complete`."""
        metadata, content_type = json.loads(upload[_MARK_DIGITS:])
        blocks = [BlobBlock(block_id=part.tag, state=BlockState.UNCOMMITTED) for part in parts]
        with _mapped(key, absent=UnmetError if only_if else GoneError):
            answer = self._blob(key).commit_block_list(
                blocks,
                content_settings=ContentSettings(content_type=content_type or None),
                metadata=metadata | {CHECKSUM_KEY: f"{crc32c:08x}"},
                **_condition(only_if),
            )
        return str(answer["etag"])

    def abort(self, key: str, upload: str) -> None:
        """See `Multipart.abort`. Azure has no such request: see rule 3."""

    def delete(self, key: str, only_if: str) -> None:
        """See `Multipart.delete`."""
        blob = self._blob(key)
        with suppress(GoneError), _mapped(key, absent=GoneError):
            try:
                blob.delete_blob(**_condition(only_if))
            except ResourceModifiedError:  # Azurite says so of one that is not there, too
                if blob.exists():
                    raise

    def checksum(self, key: str) -> None:  # noqa: ARG002 - it is in the metadata
        """See `Multipart.checksum`. Azure keeps none."""
        return

    def close(self) -> None:
        """See `Multipart.close`."""
        self._container.close()


def _client(container: str, environment: Mapping[str, str]) -> ContainerClient:
    account = environment.get("AZURE_STORAGE_ACCOUNT_NAME") or ""
    endpoint = _first(environment, *_ENDPOINTS) or (account and f"https://{account}.blob.core.windows.net")
    key, signature = _first(environment, *_KEYS), _first(environment, *_SIGNATURES)
    if not endpoint or not (key or signature):
        raise InvalidRequestError(
            f"az://{container}: to write to it needs AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or "
            "AZURE_STORAGE_SAS_TOKEN; other credentials are for reading"
        )
    credential: Any = {"account_name": account, "account_key": key} if key else signature
    try:
        return ContainerClient(
            endpoint,
            container,
            credential=credential,
            retry_total=_ATTEMPTS,
            connection_timeout=_TIMEOUT,
            read_timeout=_TIMEOUT,
            logging_enable=False,
        )
    except ValueError as error:
        raise InvalidRequestError(f"az://{container}: the configuration makes no sense") from error


def _first(environment: Mapping[str, str], *names: str) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def _condition(only_if: str | None) -> dict[str, Any]:
    if only_if is None:
        return {}
    if not only_if:
        return {"match_condition": MatchConditions.IfMissing}
    return {"match_condition": MatchConditions.IfNotModified, "etag": only_if}


@contextmanager
def _mapped(name: str, absent: type[Exception] | None = None) -> Iterator[None]:
    """Turn an error of Azure's library about the file `name` into one of `unspool.errors` or `ingest.multipart`.

    Args:
        name: the file.
        absent: what it means that there is no such blob.
    """
    try:
        yield
    except HttpResponseError as error:
        code = getattr(error, "error_code", None) or ""  # an Enum, or a str if the library does not know it
        said = str(getattr(code, "value", code))[:60]
        raise _ours(name, said, error.status_code or 0, absent) from None  # the cause would show what the store says
    except AzureError as error:
        raise ServerError(f"{name}: the object store cannot be reached ({type(error).__name__})", name=name) from None


def _ours(name: str, code: str, status: int, absent: type[Exception] | None) -> Exception:
    if code in _LOST:
        return LostPartError()
    if code in _UNMET or status == _PRECONDITION_FAILED:
        return UnmetError()
    if status == _NOT_FOUND and absent is not None and code not in NO_BUCKET:
        return absent()
    return status_error(name, status, code)
