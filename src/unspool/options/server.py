"""The options of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from unspool.options.client import MIB, Dialect

ServedDialect: TypeAlias = Dialect | Literal["bytestream", "admin"]
"""A protocol that a server speaks: one of those, google.bytestream.ByteStream, or, as `admin`, unspool.v1.AdminService."""


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
        upload_window: bytes that are received ahead of each upload that comes faster than it is taken (Go's HTTP/2 server: 1
            MiB; nginx: 64 KiB). None leaves it to gRPC, which receives 16 MiB ahead where the link is long, and often where it
            is not. A client with a round trip of R seconds sends at most `upload_window` / R bytes a second in one stream.
    """

    service: ServiceOptions = field(default_factory=ServiceOptions)
    limits: LimitOptions = field(default_factory=LimitOptions)
    grace: float = 10.0
    keepalive: float = 60.0
    keepalive_timeout: float = 20.0
    connection_idle: float = 300.0
    handshake_timeout: float = 10.0
    upload_window: int | None = None
