"""The options of client and server, as frozen values. Every default names its precedent or its measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from unspool.core.model import Attributes
from unspool.core.retry import RetryPolicy

MIB = 1 << 20

Metadata: TypeAlias = Sequence[tuple[str, str]]
"""Keys and values that go with a call, as in HTTP's headers."""

Dialect: TypeAlias = Literal["unspool", "demo"]
"""A protocol: unspool.v1, or the tutorial's demo.Files (which can only be read, and not verified)."""

OnChange = Literal["restart", "fail"]
"""What to do when the file on the server is not the one the download began with."""


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """How a transfer behaves.

    Attributes:
        retry: the retry budget and its waits.
        idle_timeout: seconds without any message after which an attempt counts as stalled (Bazel: 60; remote-apis-sdks:
            20). Servers send a heartbeat every 10 s while they wait for their store. There is no deadline for the whole.
        on_change: `restart` begins again from zero, once, and then again only after new bytes arrived; `fail` gives up.
        resume: build on a part file left by an earlier run.
        overwrite: replace a different file at the destination, when the new one is complete and verified.
        block_size: largest block to ask for, bytes; None leaves it to the server.
        jobs: streams at the same time, each on a connection of its own; None begins with one, and tries more while
            much is left (core/ramp.py).
        times: give local files the server's time of modification (wget and rclone do by default; curl has -R).
        executable: make local files executable that are so on the server (as git does, and rsync with --executability).
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    idle_timeout: float = 30.0
    on_change: OnChange = "restart"
    resume: bool = True
    overwrite: bool = True
    block_size: int | None = None
    jobs: int | None = None
    times: bool = True
    executable: bool = True

    def kept(self, attributes: Attributes) -> Attributes:
        """Return those of a file's attributes that the local file is to have; the others are unknown."""
        if self.times and self.executable:
            return attributes
        return Attributes(
            attributes.modified_ns if self.times else None,
            attributes.content_type,
            attributes.executable if self.executable else None,
        )


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a server answers.

    Attributes:
        block_size: bytes per block when the client does not say (remote-apis-sdks and FoundationDB: 1 MiB; GCS: at most
            2 MiB). Measured: below 256 KiB the cost per message dominates, above 1 MiB nothing is gained.
        largest_block: most that a client may ask for; with the fields around it, it stays below gRPC's 4 MiB.
        page_size: entries per page of a listing when the client does not say (S3, GCS: 1000).
        largest_page: most entries a client may ask for; 5000 of the longest usual names stay below 4 MiB.
        largest_batch: most files a client may ask for in one batch; as many of the longest names still fit into one request.
        heartbeat: seconds of waiting for the store after which a heartbeat is sent; a third of the client's idle timeout.
        dialects: which protocols are spoken over the store.
    """

    block_size: int = MIB
    largest_block: int = 2 * MIB
    page_size: int = 1000
    largest_page: int = 5000
    largest_batch: int = 1000
    heartbeat: float = 10.0
    dialects: tuple[Dialect, ...] = ("unspool", "demo")


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """How much a server gives, in all and to one peer (one address, whatever its ports).

    Over a limit, the answer is RESOURCE_EXHAUSTED with the time after which to come back.

    Attributes:
        streams: running at the same time, in all (nginx: 512 connections a worker; Apache: 400 requests).
        streams_per_peer: of one peer (RFC 9113 advises not to go below 100 for a connection; gRPC-Go's guide uses 100).
        connections: that have a stream running, in all. Idle ones are closed after a while and count for nothing.
        requests: per second, of one peer, with a burst of as many (S3: 5500 reads per second and prefix).
        stream_age: seconds after which a stream is ended between two blocks, so that its client comes back, perhaps to
            another replica; None for never (Envoy's max_stream_duration and gRPC's max_connection_age are off as well).
            Clients of the tutorial's dialect do not come back by themselves.
        stream_bandwidth, bandwidth: bytes per second, of one stream and in all; None is unlimited.
        memory: bytes that the blocks of all streams may take together: decides how large blocks are when there are many
            streams. With 256 MiB, 64 prompt readers get blocks of 1 MiB, and 256 get 256 KiB: 1770 MB/s in all, where 128 MiB
            gave them 1300 and raw gRPC, with three times the memory, 2600 (docs/benchmarks.md). 1000 stalled readers stay
            within 300 MB, measured (docs/reliability.md).
    """

    streams: int = 1000
    streams_per_peer: int = 100
    connections: int = 1000
    requests: float = 5000.0
    stream_age: float | None = None
    stream_bandwidth: float | None = None
    bandwidth: float | None = None
    memory: int = 256 * MIB


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server's process behaves.

    Attributes:
        service: how it answers.
        limits: how much it gives.
        grace: seconds that running streams may take to finish after SIGTERM (Kubernetes kills after 30; tusd: 10). Those
            that do not finish are ended with UNAVAILABLE, and their clients go on elsewhere, or here after the restart.
        keepalive: seconds of silence on a connection after which the client is pinged; it is given up if it does not answer
            within `keepalive_timeout`. Finds clients that vanished without a word (gRPC's own default: 2 hours and 20 s).
        connection_idle: seconds after which a connection without calls is closed (nginx keeps 75; gRPC-Go's default is never).
    """

    service: ServiceOptions = field(default_factory=ServiceOptions)
    limits: LimitOptions = field(default_factory=LimitOptions)
    grace: float = 10.0
    keepalive: float = 60.0
    keepalive_timeout: float = 20.0
    connection_idle: float = 300.0
