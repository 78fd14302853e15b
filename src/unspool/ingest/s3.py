"""S3's uploads in parts, through botocore: obstore has no upload that another process could go on with. And what else it lacks.

Rule 1: no text of botocore's reaches a message: it has URLs, and what the store says. Only the code and the HTTP status are
        taken from it.
Rule 2: each part is sent with its CRC32C, which the store checks; so is the whole, if the store can (FULL_OBJECT). The payload
        is not hashed once more for the signature: the header with the checksum is signed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from unspool.core.uploadparts import LARGEST_OBJECT
from unspool.core.uploadrecord import SentPart
from unspool.errors import ServerError
from unspool.ingest.multipart import GoneError, LostPartError, UnmetError
from unspool.ingest.spool import Body
from unspool.stores.httpstatus import NO_BUCKET, status_error
from unspool.stores.s3 import BotoCoreError, ClientError, checksum_of, client

_GONE = ("NoSuchUpload",)
_LOST = ("InvalidPart", "InvalidPartOrder", "BadDigest", "EntityTooSmall", "XAmzContentChecksumMismatch")
_UNMET = ("PreconditionFailed", "ConditionalRequestConflict")
_NO_CHECKSUMS = ("NotImplemented", "InvalidArgument", "InvalidRequest")

_PRECONDITION_FAILED, _NOT_FOUND = 412, 404


class S3Multipart:
    """See `Multipart`.

    Args:
        bucket: name of the bucket.
        prefix: of the keys; "" for none.
        environment: where the configuration comes from, as the environment of a process.

    Raises:
        InvalidRequestError: the configuration makes no sense.
    """

    largest_object = LARGEST_OBJECT

    def __init__(self, bucket: str, prefix: str, environment: Mapping[str, str]) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._checksums = True  # whether the store takes the checksum of a whole object
        self._client = client(bucket, environment)

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def begin(self, key: str, metadata: Mapping[str, str], content_type: str) -> str:
        """See `Multipart.begin`."""
        said: dict[str, Any] = {"Metadata": dict(metadata), **({"ContentType": content_type} if content_type else {})}
        if self._checksums:
            kind = {"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}
            try:
                with _mapped(key, *_NO_CHECKSUMS):
                    return str(self._client.create_multipart_upload(**self._named(key), **said, **kind)["UploadId"])
            except ClientError:
                self._checksums = False
        with _mapped(key):
            return str(self._client.create_multipart_upload(**self._named(key), **said)["UploadId"])

    def send(self, key: str, upload: str, number: int, body: Body, crc32c: int) -> str:
        """See `Multipart.send`."""
        checked = {"ChecksumCRC32C": _encoded(crc32c)} if self._checksums else {}
        with _mapped(key):
            answer = self._client.upload_part(
                **self._named(key), UploadId=upload, PartNumber=number + 1, Body=body, ContentLength=len(body), **checked
            )
        return str(answer["ETag"])

    def parts(self, key: str, upload: str) -> Mapping[int, tuple[int, str]]:
        """See `Multipart.parts`."""
        found: dict[int, tuple[int, str]] = {}
        more: dict[str, Any] = {}
        while True:
            with _mapped(key):
                page = self._client.list_parts(**self._named(key), UploadId=upload, **more)
            found |= {part["PartNumber"] - 1: (part["Size"], part["ETag"]) for part in page.get("Parts", ())}
            marker = page.get("NextPartNumberMarker")
            if not page.get("IsTruncated") or marker in (None, more.get("PartNumberMarker")):
                return found
            more = {"PartNumberMarker": marker}

    def complete(self, key: str, upload: str, parts: Sequence[SentPart], crc32c: int, only_if: str | None) -> str:
        """See `Multipart.complete`."""
        checked: dict[str, Any] = {}
        if self._checksums:
            checked = {"ChecksumCRC32C": _encoded(crc32c), "ChecksumType": "FULL_OBJECT"}
        if only_if is not None:
            checked |= {"IfMatch": only_if} if only_if else {"IfNoneMatch": "*"}
        listed = [
            {"PartNumber": number, "ETag": part.tag} | ({"ChecksumCRC32C": _encoded(part.crc32c)} if self._checksums else {})
            for number, part in enumerate(parts, 1)
        ]
        with _mapped(key, complete=bool(only_if)):
            answer = self._client.complete_multipart_upload(
                **self._named(key), UploadId=upload, MultipartUpload={"Parts": listed}, **checked
            )
        return str(answer["ETag"])

    def abort(self, key: str, upload: str) -> None:
        """See `Multipart.abort`."""
        with suppress(GoneError), _mapped(key):
            self._client.abort_multipart_upload(**self._named(key), UploadId=upload)

    def delete(self, key: str, only_if: str) -> None:
        """See `Multipart.delete`."""
        with suppress(ClientError), _mapped(key, "NoSuchKey"):
            self._client.delete_object(**self._named(key), IfMatch=only_if)

    def checksum(self, key: str) -> tuple[str, int] | None:
        """See `Multipart.checksum`."""
        return checksum_of(self._client, **self._named(key))

    def close(self) -> None:
        """See `Multipart.close`."""
        self._client.close()


def _encoded(crc32c: int) -> str:
    return base64.b64encode(crc32c.to_bytes(4)).decode()


@contextmanager
def _mapped(name: str, *but: str, complete: bool = False) -> Iterator[None]:
    """Turn an error of botocore about the file `name` into one of `unspool.errors` or `ingest.multipart`.

    Args:
        name: the file.
        but: codes of errors that are not mapped.
        complete: whether an object must be there, so that none is an unmet condition.
    """
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in but:
            raise
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise _ours(name, code[:60], status, complete=complete) from None  # the cause would show what the store says
    except BotoCoreError as error:
        raise ServerError(f"{name}: the object store cannot be reached ({type(error).__name__})", name=name) from None


def _ours(name: str, code: str, status: int, *, complete: bool) -> Exception:
    if code in _GONE:
        return GoneError()
    if code in _LOST:
        return LostPartError()
    if code in _UNMET or status == _PRECONDITION_FAILED or (complete and status == _NOT_FOUND and code not in NO_BUCKET):
        return UnmetError()
    return status_error(name, status, code)
