"""The options of client and server, as frozen dataclasses. Every default names its precedent or its measurement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal, TypeAlias, TypedDict

from unspool.core.model import Attributes
from unspool.core.retry import RetryPolicy

MIB = 1 << 20

Metadata: TypeAlias = Sequence[tuple[str, str]]
"""gRPC metadata: keys and values that are sent with a call, like HTTP headers."""

Dialect: TypeAlias = Literal["unspool", "demo"]
"""A protocol: unspool.v1, or the tutorial's demo.Files, which supports reads only and has no checksums."""

ServedDialect: TypeAlias = Dialect | Literal["bytestream", "admin"]
"""A protocol that a server speaks: one of those, google.bytestream.ByteStream, or, as `admin`, unspool.v1.AdminService."""


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

    def kept(self, attributes: Attributes) -> Attributes:
        """Return the attributes that the local file should get. The others are set to None."""
        if self.times and self.executable:
            return attributes
        return Attributes(
            attributes.modified_ns if self.times else None,
            attributes.content_type,
            attributes.executable if self.executable else None,
        )


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a server answers calls.

    Attributes:
        block_size: bytes per block if the client does not specify it (remote-apis-sdks and FoundationDB: 1 MiB; GCS: at most
            2 MiB). Measured: below 256 KiB the cost per message dominates, and above 1 MiB there is no gain.
        largest_block: largest block that a client may ask for, in bytes. The whole message stays below gRPC's limit of 4 MiB.
        page_size: entries per page of a listing if the client does not specify it (S3, GCS: 1000).
        largest_page: most entries per page that a client may ask for. 5000 of the longest usual names stay below 4 MiB.
        largest_batch: most files in one batch. Even with the longest names they fit into one request.
        heartbeat: seconds to wait for the store before a heartbeat is sent; a third of the client's idle timeout.
        upload_idle: seconds without a message after which the client of an upload is not waited for any more (tusd: 60).
        sync_bytes, sync_seconds: after so many bytes of an upload, or so long after a byte, what was received is made durable.
            Syncing takes milliseconds on many disks, so it is not done for every block (iroh: every 64 MiB or second).
        dialects: the protocols that the server speaks. `bytestream` is not among them unless asked for, because its clients
            cannot notice that a file changed between two reads. Nor is `admin`, which tells who reads what.
    """

    block_size: int = MIB
    largest_block: int = 2 * MIB
    page_size: int = 1000
    largest_page: int = 5000
    largest_batch: int = 1000
    heartbeat: float = 10.0
    upload_idle: float = 60.0
    sync_bytes: int = 64 * MIB
    sync_seconds: float = 1.0
    dialects: tuple[ServedDialect, ...] = ("unspool", "demo")


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What an ingester takes, and how long it keeps it.

    Attributes:
        largest_file: most bytes of a file; None is what the file system takes.
        uploads: most unfinished uploads of one principal (as many as it may have streams, ten times over).
        bytes: most bytes of the unfinished uploads of one principal; None for no limit but the space there is.
        keep: seconds that an unfinished upload is kept after the last byte of it (GCS: a week).
        remember: seconds that a committed upload is remembered, so that a lost reply is no second upload.
    """

    largest_file: int | None = None
    uploads: int = 1000
    bytes: int | None = None
    keep: float = 7 * 86400.0
    remember: float = 86400.0


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """The server's limits, in total and per peer.

    A peer is a principal that was identified, or else one address, whatever its ports.

    Over a limit the server answers RESOURCE_EXHAUSTED, with the time after which the client should try again.

    Attributes:
        streams: most concurrent streams in total (nginx: 512 connections per worker; Apache: 400 requests).
        streams_per_peer: most concurrent streams of one peer (RFC 9113 recommends at least 100 per connection; gRPC-Go's guide
            uses 100).
        connections: most connections that have a running stream.
        open_connections: most connections in all, idle ones included. Before it is reached, idle ones are closed; what comes
            over it is closed before it can say a word. None is what the process's file descriptors allow (nginx's
            worker_connections is bounded by them too).
        requests: requests per second of one peer, with a burst of the same number (S3: 5500 reads per second and prefix).
        request_timeout: seconds that the request of a call may take to arrive after its headers (Apache's RequestReadTimeout:
            20 to 40; nginx: 60). As many calls as `streams` may wait for theirs; then the oldest one ends.
        stream_age: seconds after which a stream is ended between two blocks, so that its client reconnects, perhaps to another
            replica; None for never (Envoy's max_stream_duration and gRPC's max_connection_age are also off by default).
            Clients of the tutorial's dialect do not reconnect on their own.
        stream_bandwidth, bandwidth_per_peer, bandwidth: bytes per second of one stream, of all streams of one peer, and of all
            streams; None is unlimited.
        memory: bytes that the blocks of all streams may use together. It limits the block size when there are many streams.
            With 256 MiB, 64 fast readers get blocks of 1 MiB, and 256 get 256 KiB: 1770 MB/s in total, compared with 1300 for
            128 MiB, and with 2600 for raw gRPC, which uses three times the memory (docs/measurements.md). 1000 stalled readers
            stay within 400 MB, measured (docs/reliability.md).
    """

    streams: int = 1000
    streams_per_peer: int = 100
    connections: int = 1000
    open_connections: int | None = None
    requests: float = 5000.0
    request_timeout: float = 30.0
    stream_age: float | None = None
    stream_bandwidth: float | None = None
    bandwidth: float | None = None
    bandwidth_per_peer: float | None = None
    memory: int = 256 * MIB


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server process behaves.

    Attributes:
        service: how it answers calls.
        limits: its limits.
        grace: seconds that running streams may take to finish after SIGTERM (Kubernetes kills after 30; tusd: 10). Streams that
            do not finish are ended with UNAVAILABLE, and their clients go on with another server, or this one after a restart.
        keepalive: seconds without traffic on a connection after which the server pings the client. It closes the connection if
            no answer comes within `keepalive_timeout`. This finds clients that vanished (gRPC's own default: 2 hours and 20 s).
        connection_idle: seconds after which a connection without calls is closed (nginx keeps 75; gRPC-Go's default is never).
        handshake_timeout: seconds that a peer has for the handshakes of TLS and HTTP/2 (Go's net/http: 10 for TLS; nginx: 60;
            gRPC's own default: 120). A peer that connects and says nothing is disconnected after it.
    """

    service: ServiceOptions = field(default_factory=ServiceOptions)
    limits: LimitOptions = field(default_factory=LimitOptions)
    grace: float = 10.0
    keepalive: float = 60.0
    keepalive_timeout: float = 20.0
    connection_idle: float = 300.0
    handshake_timeout: float = 10.0
