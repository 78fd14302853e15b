"""The options of a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal, TypeAlias, TypedDict, get_args

from unspool.core.model import Attributes
from unspool.core.retry import RetryPolicy
from unspool.errors import InvalidRequestError

MIB = 1 << 20

Metadata: TypeAlias = Sequence[tuple[str, str]]
"""gRPC metadata: keys and values that are sent with a call, like HTTP headers."""

Dialect: TypeAlias = Literal["unspool", "demo"]
"""A protocol: unspool.v1, or the tutorial's demo.Files, which supports reads only and has no checksums."""


Token: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A bearer token, or a function (which may be a coroutine function) that returns one."""


class Security(TypedDict, total=False):
    """How a client secures its connection. All of it is optional.

    Attributes:
        tls: connect over TLS, as `unspools://` in the target says too.
        ca: a file with the certificates (PEM) of the authorities that may sign the server's. Without it, those that gRPC ships
            with are trusted: the list of Mozilla.
        cert: a file with the client's certificate (PEM), followed by those of intermediate authorities, for a server that asks
            for one.
        key: a file with its private key (PEM), without a passphrase; None if it is in the file `cert`.
        token: the token by which the server knows the client, or a function that returns one. The function is asked again when
            a server has refused the token.
        token_in_clear: send the token even over a connection on which others can read it: in clear, to another machine.
    """

    tls: bool
    ca: str | PathLike[str] | None
    cert: str | PathLike[str] | None
    key: str | PathLike[str] | None
    token: Token | None
    token_in_clear: bool


OnChange = Literal["restart", "fail"]
"""What to do if the file changes on the server during a download."""


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """How a transfer behaves.

    Attributes:
        retry: the retry budget and its waits.
        idle_timeout: seconds without any message after which an attempt counts as stalled (Bazel: 60; remote-apis-sdks:
            20). Servers send a heartbeat every 10 s while they wait for their store. There is no deadline for a whole transfer.
        heartbeat_limit: seconds of heartbeats alone after which an attempt counts as stalled; None lets a server wait for its
            store as long as it says so (a tape library may take hours).
        listing_limit: most entries of a listing. One of more ends with an error, so that a server cannot list for ever.
        on_change: `restart` starts again from zero, with the limits in `retry`; `fail` gives up.
        resume: continue from a part file that an earlier run left.
        overwrite: replace a different file at the destination once the new one is complete and verified.
        block_size: largest block to ask for, in bytes; None leaves it to the server.
        jobs: number of concurrent streams, each on its own connection; None begins with one, and tries more while much is left
            (core/ramp.py).
        times: give local files the server's modification time (wget and rclone do by default; curl has -R).
        executable: make local files executable if they are so on the server (as git does, and rsync with --executability).

    Raises:
        InvalidRequestError: a value makes no sense.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    idle_timeout: float = 30.0
    heartbeat_limit: float | None = None
    listing_limit: int = 100_000_000
    on_change: OnChange = "restart"
    resume: bool = True
    overwrite: bool = True
    block_size: int | None = None
    jobs: int | None = None
    times: bool = True
    executable: bool = True

    def __post_init__(self) -> None:
        if self.on_change not in get_args(OnChange):
            raise InvalidRequestError(f"on_change is {self.on_change!r}: it must be one of {', '.join(get_args(OnChange))}")
        for name, seconds in (("idle_timeout", self.idle_timeout), ("heartbeat_limit", self.heartbeat_limit)):
            if seconds is not None and not seconds > 0:  # NaN is not, either
                raise InvalidRequestError(f"{name} is {seconds}: it must be greater than 0")
        for name, number in (("jobs", self.jobs), ("block_size", self.block_size)):
            if number is not None and number < 1:
                raise InvalidRequestError(f"{name} is {number}: it must be at least 1, or None")

    def kept(self, attributes: Attributes) -> Attributes:
        """Return the attributes that the local file should get. The others are set to None."""
        if self.times and self.executable:
            return attributes
        return Attributes(
            attributes.modified_ns if self.times else None,
            attributes.content_type,
            attributes.executable if self.executable else None,
        )
