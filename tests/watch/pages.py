"""Pages of metrics, read as Prometheus reads them."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from processes import Serving, serving

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str) -> str:
    """Return a page."""
    with _DIRECT.open(url, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


class Samples:
    """What a page says now."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """Return a sample; 0 if there is none."""
        return self._values.get((name, frozenset(labels.items())), 0.0)


class Watched:
    """A server that is running, and its page."""

    def __init__(self, server: Serving, url: str) -> None:
        self.server = server
        self.url = url

    def samples(self) -> Samples:
        """Return what the page says now."""
        return Samples(fetch(self.url))


@contextmanager
def watched(root: Path, log: Path, *options: str) -> Iterator[Watched]:
    """Run `unspool serve ROOT --metrics` while inside."""
    with serving(root, log, "--metrics", "0", *options) as server:
        assert server.process.stdout is not None
        line = server.process.stdout.readline().decode()
        assert line.startswith("unspool: metrics on http://127.0.0.1:"), line
        yield Watched(server, line.split()[-1])
