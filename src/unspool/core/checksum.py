"""CRC32C (Castagnoli, RFC 3720 appendix B.4) of bytes, and of joined runs whose checksums are known.

Rule 1: bytes are summed once. The checksum of a whole file is combined from the checksums of its parts, which may arrive in any
        order.
Rule 2: the empty run has checksum 0.

Combining works because CRC is linear: appending n bytes multiplies the checksum of what precedes them by x^(8n) modulo the
polynomial. zlib's crc32_combine does the same for its own polynomial.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

from unspool.core.model import Bytes


def extension(package: str = "crc32c", module: str = "crc32c._crc32c") -> Any:
    """Return the compiled module of crc32c, or the package where it is built otherwise.

    Importing the package reads the metadata of what is installed, which takes 20 ms of every start.
    """
    found = PathFinder.find_spec(package)
    spec = None if found is None else PathFinder.find_spec(module, found.submodule_search_locations)
    if spec is None or spec.loader is None or module in sys.modules:
        return __import__(package)
    loaded = sys.modules[module] = module_from_spec(spec)  # if others import the package, they find it here
    spec.loader.exec_module(loaded)
    return loaded


_crc32c = extension().crc32c

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bit-reversed
_ONE = 1 << 31  # the polynomial "1" in reversed bit order


def crc32c(data: Bytes, before: int = 0) -> int:
    """Return the CRC32C of `data`, 0 to 2**32-1. With `before`, the checksum of a preceding run, return that of both joined."""
    checksum: int = _crc32c(data, before)
    return checksum


def combine(first: int, second: int, second_length: int) -> int:
    """Return the CRC32C of two joined runs, from their checksums and the length in bytes of the second."""
    if not second_length:
        return first
    return _multiply(_power_of_x(8 * second_length), first) ^ second


def _multiply(a: int, b: int) -> int:
    """Multiply two polynomials over GF(2), modulo the polynomial, in reversed bit order."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


# All blocks but the last have the same size, and so have all segments: a small cache serves nearly every call.
@lru_cache(maxsize=256)
def _power_of_x(exponent: int) -> int:
    """Return x**exponent modulo the polynomial, by squaring."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _multiply(square, result)
        square = _multiply(square, square)
        exponent >>= 1
    return result
