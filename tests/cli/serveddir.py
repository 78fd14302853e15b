"""The files that the server of these tests serves."""

from dataclasses import dataclass
from pathlib import Path

from processes import Serving

ODD = "odd \x1b]0;title\a\nname.txt"
"""A name that, if it were printed unchanged, would set the terminal's title and begin a line."""


@dataclass(frozen=True)
class Served:
    """A server and the files it serves."""

    server: Serving
    root: Path
    files: dict[str, bytes]

    def url(self, name: str = "") -> str:
        """Return the URL of a file."""
        return f"{self.server.address}/{name}"
