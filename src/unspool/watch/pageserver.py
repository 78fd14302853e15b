"""Serves a page of metrics over HTTP, in threads of its own: it answers also while the event loop is busy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from unspool.core.address import HostPort
from unspool.core.extras import extra
from unspool.core.oserrors import reason_of
from unspool.errors import InvalidRequestError

with extra("metrics"):
    from prometheus_client import make_wsgi_app
    from prometheus_client.registry import Collector, CollectorRegistry

_PATIENCE = 10.0
"""Seconds that a client may take to send its request: Prometheus gives a scrape 10 s, by default."""


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, *_: Any) -> None:
        """Say nothing: a line every 15 s would drown the log."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, and do not ask a name server for our own name, as the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        """Say nothing: a client that left is no error of ours."""


@contextmanager
def served(collector: Collector, listen: HostPort) -> Iterator[str]:
    """Serve a collector's metrics inside the `with`. Yields the URL.

    Raises:
        InvalidRequestError: the address cannot be listened on.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    host = listen.host.strip("[]")

    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    try:
        server = Server((host, listen.port), _Handler)
    except OSError as error:
        said = reason_of(error)
        raise InvalidRequestError(
            f"cannot show metrics on {listen}: {said}; choose another port, or 0 for one that is free"
        ) from error
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{HostPort(listen.host, server.server_port)}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
