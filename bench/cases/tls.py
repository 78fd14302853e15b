"""One big file over TLS, beside the same in clear."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import servers
from bench.case import Case, Shown, chosen
from bench.cases import big
from bench.peer import CURL, OURS, Peer, curl_get, unspool_get

_CURL = "nginx + curl, TLS"


def _peers(directory: Path) -> list[Peer]:
    certificate = servers.new_certificate(directory)
    serve = servers.unspool("--cert", str(certificate.file), "--key", str(certificate.key))
    ca = str(certificate.file)

    def ours(name: str, *options: str) -> Peer:
        return Peer(name, (), serve, unspool_get(*options, "--ca", ca))

    curl = Peer(
        _CURL, ("nginx", "curl"), servers.nginx_tls(certificate), curl_get("--tlsv1.3", "--cacert", ca, scheme="https://")
    )
    return [OURS[0], CURL, ours("unspool, TLS"), ours("unspool --jobs 2, TLS", "--jobs", "2"), curl]


def _run(arguments: argparse.Namespace, directory: Path) -> Shown:
    return big.measured(arguments, directory, chosen(_peers(directory), arguments.only, (_CURL,)), _CURL, "TLS and in clear")


TLS = Case("tls", "one big file over TLS 1.3, beside curl", big.options, _run)
