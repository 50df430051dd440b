"""Index values as bytes that compare as the values do: None, then numbers, then texts by code point."""

import math
import struct
from typing import Final

from bus.core.projection import IndexValue

NONE: Final = b"\0"
"""The least of all."""

_NUMBER, _TEXT = b"\1", b"\2"
_INTEGER_END = 2**63
_SIGN = 1 << 63
_NUMBER_BYTES = struct.Struct(">QH")
_FLOAT = struct.Struct(">d")
_BITS = struct.Struct(">Q")


def sortable(value: IndexValue) -> bytes:
    """Raises ValueError for a number beyond 64 bits, which no SQL store takes."""
    if value is None:
        return NONE
    if isinstance(value, str):
        return _TEXT + value.encode()
    return _number(value)


def _number(value: int | float) -> bytes:
    """The nearest floating-point number, and how far a whole number is from that.

    The first never falls while numbers rise, and the second decides among those that share it: so whole numbers of
    64 bits and fractions are in one order, and equal where they are equal in Python.
    """
    if not -_INTEGER_END <= value < _INTEGER_END and isinstance(value, int):
        raise ValueError(f"{value} is too large for an index: numbers have up to 64 bits")
    nearest = float(value) + 0.0  # Makes of -0.0 the zero that it equals.
    if math.isnan(nearest):
        return NONE
    rest = value - int(nearest) if isinstance(value, int) else 0
    bits: int = _BITS.unpack(_FLOAT.pack(nearest))[0]
    ordered = bits ^ (2 * _SIGN - 1) if bits & _SIGN else bits | _SIGN
    return _NUMBER + _NUMBER_BYTES.pack(ordered, rest + 0x8000)
