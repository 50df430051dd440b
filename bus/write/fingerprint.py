"""Fingerprint: tells a repeated command from another one under the same id."""

from zlib import crc32

import msgspec

from bus.core.messages import Command

_encode = msgspec.json.Encoder().encode


def fingerprint(command: Command) -> bytes:
    """Four bytes that tell commands apart, of type, fields and values; fields at their default do not count.

    A checksum is enough to find a mistake, which goes unnoticed once in four thousand million; it is no signature.
    Raises what msgspec raises for values that cannot be encoded.
    """
    return crc32(_encode(command)).to_bytes(4, "big")
