"""Gets past the keys of an object store that obstore cannot take. Pure.

They have a part that is empty, `.` or `..`, or a control character.
"""

from __future__ import annotations

_SPACE = " "
"""The first character that is not a control character."""

_AFTER_DEL = "\x80"


def past(key: str) -> str:
    """Return a key that obstore can take, and that sorts after an odd one, so that no other such key is between them.

    Args:
        key: a key that obstore cannot take. For any other the result is the key itself.
    """
    position = 0
    for part in key.split("/"):
        control = next((number for number, char in enumerate(part) if char < _SPACE or char == "\x7f"), None)
        if control is not None:
            # All keys that begin like this one up to the character, or with another control character there, are odd as well.
            return key[: position + control] + (_SPACE if part[control] < _SPACE else _AFTER_DEL)
        end = position + len(part)
        if part in {".", ".."} and end == len(key):
            return key + _SPACE
        if part in {"", ".", ".."} and end < len(key):
            return key[:end] + "0"  # the character after `/`: all keys that begin with `PART/` are odd
        position = end + 1
    return key
