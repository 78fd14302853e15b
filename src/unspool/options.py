"""The options of client and server, as frozen values. Every default names its precedent or its measurement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from unspool.core.retry import RetryPolicy

MIB = 1 << 20

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
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    idle_timeout: float = 30.0
    on_change: OnChange = "restart"
    resume: bool = True
    overwrite: bool = True
    block_size: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a server answers.

    Attributes:
        block_size: bytes per block when the client does not say (remote-apis-sdks and FoundationDB: 1 MiB; GCS: at most
            2 MiB). Measured: below 256 KiB the cost per message dominates, above 1 MiB nothing is gained.
        largest_block: most that a client may ask for; with the fields around it, it stays below gRPC's 4 MiB.
        page_size: entries per page of a listing when the client does not say (S3, GCS: 1000).
        largest_page: most entries a client may ask for; 5000 of the longest usual names stay below 4 MiB.
        heartbeat: seconds of waiting for the store after which a heartbeat is sent; a third of the client's idle timeout.
        demo_dialect: also answer the tutorial's `demo.Files`.
    """

    block_size: int = MIB
    largest_block: int = 2 * MIB
    page_size: int = 1000
    largest_page: int = 5000
    heartbeat: float = 10.0
    demo_dialect: bool = True


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server's process behaves.

    Attributes:
        service: how it answers.
        grace: seconds that running streams may take to finish after SIGTERM (Kubernetes kills after 30; tusd: 10). Those
            that do not finish are ended with UNAVAILABLE, and their clients go on elsewhere, or here after the restart.
        keepalive: seconds of silence on a connection after which the client is pinged; it is given up if it does not answer
            within `keepalive_timeout`. Finds clients that vanished without a word (gRPC's own default: 2 hours and 20 s).
    """

    service: ServiceOptions = field(default_factory=ServiceOptions)
    grace: float = 10.0
    keepalive: float = 60.0
    keepalive_timeout: float = 20.0
