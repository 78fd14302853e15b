"""Certificates for tests, made when they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in files."""

    cert: Path
    key: Path

    def become(self, other: Pair) -> None:
        """Replace the files by those of another pair, one after the other, as programs that renew certificates do."""
        for ours, theirs in ((self.cert, other.cert), (self.key, other.key)):
            fresh = ours.with_suffix(".new")
            fresh.write_bytes(theirs.read_bytes())
            fresh.replace(ours)


class Authority:
    """An authority, and the files that it makes in a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self._directory = directory
        directory.mkdir(exist_ok=True)
        self.file = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, *identities: str, days: tuple[float, float] = (-1, 1)) -> Pair:
        """Make a certificate for some hosts or mail addresses (or for localhost), valid between two days from now."""
        now = datetime.now(UTC)
        issued = self._ca.issue_cert(
            *(identities or HOSTS), not_before=now + timedelta(days[0]), not_after=now + timedelta(days[1])
        )
        pair = Pair(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        pair.cert.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(pair.key)
        return pair
