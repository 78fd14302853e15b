"""The settings of `unspool serve`, wherever they come from, and what they stand for."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unspool.access.auditfile import descriptor_of
from unspool.answers.kept import KeptChecksums
from unspool.cli.serveaccess import AccessSettings
from unspool.cli.servewriting import WriteSettings
from unspool.cli.watching import check_metrics
from unspool.core.tls import Listener, parse_listeners
from unspool.errors import LocalFileError
from unspool.options import LimitOptions, ServedDialect, ServerOptions, ServiceOptions
from unspool.server import exposure
from unspool.server.ports import is_exposed
from unspool.stores import Store, is_directory, open_store

if TYPE_CHECKING:
    from unspool.ingest.base import Ingester
    from unspool.stores.revisions import RevisionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(AccessSettings, WriteSettings):
    """The options of `unspool serve`, under the same names."""

    root: str
    listen: tuple[str, ...]
    cert: str | None
    key: str | None
    client_ca: str | None
    insecure: bool
    hidden: bool
    workers: int
    grace: float
    block_size: int
    max_block_size: int
    max_page_size: int
    max_streams: int
    max_streams_per_peer: int
    max_connections: int
    max_open_connections: int | None
    max_requests: float
    max_stream_age: float | None
    max_stream_bandwidth: int | None
    max_bandwidth_per_peer: int | None
    max_bandwidth: int | None
    demo: bool
    bytestream: bool
    admin: bool
    log_format: Literal["human", "json"]
    quiet: bool
    metrics: str | None = None
    checksums: str | None = None
    revision: RevisionKind = "stat"

    def options(self) -> ServerOptions:
        """Return the options of one process. It gets an equal part of each total limit, rounded up."""
        defaults = ServerOptions()
        return ServerOptions(
            grace=self.grace,
            upload_window=self.upload_window,
            service=ServiceOptions(
                block_size=min(self.block_size, self.max_block_size),
                largest_block=self.max_block_size,
                page_size=min(defaults.service.page_size, self.max_page_size),
                largest_page=self.max_page_size,
                dialects=self._dialects(),
            ),
            limits=LimitOptions(
                streams=self._part(self.max_streams),
                streams_per_peer=self.max_streams_per_peer,
                connections=self._part(self.max_connections),
                open_connections=None if self.max_open_connections is None else self._part(self.max_open_connections),
                requests=self.max_requests,
                stream_age=self.max_stream_age,
                stream_bandwidth=self.max_stream_bandwidth,
                bandwidth=None if self.max_bandwidth is None else self._part(self.max_bandwidth),
                bandwidth_per_peer=self.max_bandwidth_per_peer,
                memory=self._memory() - self._read_ahead(),
            ),
        )

    def _dialects(self) -> tuple[ServedDialect, ...]:
        wanted: tuple[tuple[ServedDialect, bool], ...] = (
            ("unspool", True),
            ("demo", self.demo),
            ("bytestream", self.bytestream),
            ("admin", self.admin),
        )
        return tuple(name for name, given in wanted if given)

    def store(self, *, kept: bool = True) -> Store:
        """Open the store that is served. `kept` is whether it may use the file of checksums, or create it."""
        with self.at("root"):
            return open_store(
                self.root,
                hidden=self.hidden,
                allow_http=_has_plain_endpoint(),
                revision=self.revision,
                checksums=self.checksums if kept else None,
                metadata=self.write,  # what `put -r` compares
                environment=os.environ,
                read_ahead=self._read_ahead(),
            )

    async def check_ingester(self) -> None:
        """Raise InvalidRequestError if clients may write, and what is served cannot be written to. Makes no request."""
        with self.at("write"):
            await self.check_writable(self.root, allow_http=_has_plain_endpoint())

    async def ingester(self, store: Store) -> Ingester | None:
        """Open what receives files for the store that is served; None if clients may not write."""
        with self.at("write"):
            return await self.open_ingester(self.root, store, hidden=self.hidden, allow_http=_has_plain_endpoint())

    def listeners(self) -> Sequence[Listener]:
        """Return where the server listens. Raises InvalidRequestError if that makes no sense."""
        with self.at("listen", "cert", "client_ca"):
            return parse_listeners(self.listen, cert=self.cert is not None, client_ca=self.client_ca is not None)

    def check_exposure(self, listener: Listener, *, exposed: bool) -> None:
        """Do as `exposure.check_exposure`."""
        with self.at("listen"):
            exposure.check_exposure(listener, exposed=exposed, insecure=self.insecure)

    def check_certificates(self) -> None:
        """Do as `exposure.check_files`."""
        with self.at("cert", "key", "client_ca"):
            exposure.check_files(self.client_ca, self.cert, self.key)

    def check_checksums(self) -> None:
        """Open the file of checksums, and close it."""
        if self.checksums is not None:
            with self.at("checksums"):
                KeptChecksums(self.checksums).close()

    async def check(self) -> None:
        """Check everything that a start would find wrong, but do not listen, and create no file.

        Raises:
            UnspoolError: what is wrong; with its line, if it is in a configuration file.
        """
        self.options()
        for listener in self.listeners():
            with self.at("listen"):
                exposed = is_exposed(listener.where)
            self.check_exposure(listener, exposed=exposed)
        await self.store(kept=False).aclose()
        await self.check_ingester()
        self.check_certificates()
        self.access(audit=False)
        with self.at("audit"):
            if self.audit is not None and descriptor_of(self.audit) is None:
                _is_there(self.audit)
        with self.at("checksums"):
            if self.checksums is not None and _is_there(self.checksums):
                KeptChecksums(self.checksums).close()
        if self.metrics is not None:
            with self.at("metrics"):
                check_metrics(self.metrics)

    def _memory(self) -> int:
        """Return the bytes that one process may use for blocks, and for what it reads ahead."""
        return self._part(ServerOptions().limits.memory)

    def _read_ahead(self) -> int:
        """Return how many of these bytes are for what is read ahead: half of them, if an object store is served."""
        return 0 if is_directory(self.root) else self._memory() // 2

    def _part(self, whole: int) -> int:
        return math.ceil(whole / self.workers)


def _has_plain_endpoint() -> bool:
    """Whether the environment names an endpoint of an object store that is `http://`. obstore reads it there too."""
    return any(
        said.lower().startswith("http://")
        for name, said in os.environ.items()
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")) and ("ENDPOINT" in name or name.endswith("_URL"))
    )


def _is_there(path: str) -> bool:
    """Return whether a file exists. Raises LocalFileError if it can neither be written nor be created."""
    file = Path(path)
    found = file.exists()
    if not os.access(file if found else file.parent, os.W_OK):
        raise LocalFileError(f"{path}: cannot be written")
    return found
