"""A TOML file whose errors name their line, which Python's own parser does for errors of syntax only."""

from __future__ import annotations

import re
import tomllib

from unspool.errors import InvalidRequestError

_TABLE = re.compile(r"\s*\[")

_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")


class TomlFile:
    """The text of one file.

    Args:
        text: of the file.
        shown: the file, as messages name it.

    Attributes:
        lines: of the text.
    """

    def __init__(self, text: str, shown: str) -> None:
        self.lines = text.split("\n")
        self._text = text
        self._shown = shown

    def document(self) -> dict[str, object]:
        """Parse the file. Raises InvalidRequestError if it is not TOML."""
        try:
            return tomllib.loads(self._text)
        except RecursionError:
            raise self.error(1, "nested too deeply") from None
        except ValueError as error:  # also numbers that are too long, which are no TOMLDecodeError
            place = _PLACE.search(str(error))
            line = int(place[1]) if place and place[1] else len(self.lines) if place else 1
            said = _PLACE.sub("", str(error))
            raise self.error(line, f"not TOML: {said[:1].lower()}{said[1:]}") from None

    def line_of(self, key: str, table: int | None = None) -> int:
        """Return the line that sets a key: below the header at line `table`, or anywhere. If none is found, `table` or 1."""
        written = rf"(?:{re.escape(key)}|\"{re.escape(key)}\"|'{re.escape(key)}')"
        wanted = re.compile(rf"\s*(?:{written}\s*[=.]|\[\[?\s*{written}\s*[\].])")
        first = 1 if table is None else table + 1
        for number, line in enumerate(self.lines[first - 1 :], first):
            if wanted.match(line):
                return number
            if table is not None and _TABLE.match(line):
                break
        return table or 1

    def error(self, line: int, said: str) -> InvalidRequestError:
        """Return an error that names the file and a line."""
        return InvalidRequestError(f"{self._shown}: line {line}: {said}")
