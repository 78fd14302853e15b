"""What the server of these tests serves."""

from dataclasses import dataclass
from pathlib import Path

from processes import Serving

ODD = "odd \x1b]0;title\a\nname.txt"
"""A name that would set the terminal's title and begin a line, were it printed as it is."""


@dataclass(frozen=True)
class Served:
    """A server and what it serves."""

    server: Serving
    root: Path
    files: dict[str, bytes]

    def url(self, name: str = "") -> str:
        """Return where a file is."""
        return f"{self.server.address}/{name}"
