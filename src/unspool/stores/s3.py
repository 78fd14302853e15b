"""What obstore cannot ask of S3, through botocore: a client for uploads in parts, and the checksums of objects.

Rule 1: what obstore is configured with configures this too: the same names in the environment.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from unspool.core.extras import extra
from unspool.errors import InvalidRequestError

with extra("objects"):
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["BotoCoreError", "ClientError", "S3Checksums", "checksum_of", "client"]

_ATTEMPTS = 5
"""Tries of one request, as obstore has them here (`stores.objects`)."""

_CONNECTIONS = 32
"""Connections that are kept: more than there are threads that send parts."""

_TIMEOUT = 60.0
"""Seconds without an answer, or in which no piece of a part could be sent (botocore's default)."""

_REGION = "us-east-1"
"""Without one in the environment, as obstore has it."""


def client(bucket: str, environment: Mapping[str, str]) -> Any:
    """Return a client of botocore.

    Args:
        bucket: for messages.
        environment: where the configuration comes from, as the environment of a process.

    Raises:
        InvalidRequestError: the configuration makes no sense.
    """
    try:
        return _client(environment)
    except (BotoCoreError, ValueError) as error:
        raise InvalidRequestError(f"s3://{bucket}: the configuration is incomplete, or makes no sense") from error


def _client(environment: Mapping[str, str]) -> Any:
    session = botocore.session.Session()
    style = "virtual" if _is_set(environment, "AWS_VIRTUAL_HOSTED_STYLE_REQUEST") else "path"
    endpoint = _first(environment, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    config = Config(
        signature_version=botocore.UNSIGNED if _is_set(environment, "AWS_SKIP_SIGNATURE") else "s3v4",
        connect_timeout=_TIMEOUT,
        read_timeout=_TIMEOUT,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": style if endpoint else "auto", "payload_signing_enabled": False},
    )
    return session.create_client(
        "s3",
        region_name=_first(environment, "AWS_REGION", "AWS_DEFAULT_REGION") or _REGION,
        endpoint_url=endpoint,
        aws_access_key_id=_first(environment, "AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=_first(environment, "AWS_SECRET_ACCESS_KEY"),
        aws_session_token=_first(environment, "AWS_SESSION_TOKEN", "AWS_TOKEN"),
        config=config,
    )


def _first(environment: Mapping[str, str], *names: str) -> str | None:
    return next((environment[name] for name in names if environment.get(name)), None)


def _is_set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in {"1", "true", "yes", "on"}


def checksum_of(client: Any, **named: str) -> tuple[str, int] | None:
    """Return the entity tag and the CRC32C of an object, if the store keeps one of the whole object. Blocks.

    Args:
        client: of botocore.
        named: the bucket and the key.
    """
    try:
        answer = client.head_object(**named, ChecksumMode="ENABLED")
    except (BotoCoreError, ClientError):
        return None
    said = answer.get("ChecksumCRC32C", "")
    if answer.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT" or not said or "-" in said:
        return None
    return str(answer["ETag"]), int.from_bytes(base64.b64decode(said))


class S3Checksums:
    """Asks for the checksums of the objects of a bucket. Its methods block.

    Args:
        bucket: name of the bucket.
        prefix: of the keys; "" for none.
        environment: see `client`.

    Raises:
        InvalidRequestError: the configuration makes no sense.
    """

    def __init__(self, bucket: str, prefix: str, environment: Mapping[str, str]) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._client = client(bucket, environment)

    def of(self, key: str) -> tuple[str, int] | None:
        """Return the entity tag and the CRC32C of an object, if the store keeps one of the whole object."""
        return checksum_of(self._client, Bucket=self._bucket, Key=self._prefix + key)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
