"""The worst inputs of a given size: what grows with its square somewhere would show in one of these.

Tests count the work that each takes, and `bench/inputs.py` measures its seconds.
"""

from collections.abc import Callable, Mapping
from typing import Final

OPENING: Final = b'{"type":"open","account_id":'


def filled(size: int, before: bytes, fill: bytes, after: bytes = b"") -> bytes:
    """Of that size at most, and nearly."""
    return before + fill * ((size - len(before) - len(after)) // len(fill)) + after


def keys(size: int, name: bytes, last: bytes) -> bytes:
    """An object of many keys."""
    members = [b'"%b%06d":1' % (name, number) for number in range((size - 40) // (11 + len(name)))]
    return b'{"type":"open",' + b",".join(members) + last + b"}"


WORST: Final[Mapping[str, Callable[[int], bytes]]] = {
    "spaces": lambda size: filled(size, OPENING + b'"a"', b" ", b"}"),
    "a long text": lambda size: filled(size, OPENING + b'"', b"x", b'"}'),
    "a long text of two bytes each": lambda size: filled(size, OPENING + b'"', "é".encode(), b'"}'),
    "escaped quotation marks": lambda size: filled(size, OPENING + b'"', b'\\"', b'"}'),
    "escaped characters": lambda size: filled(size, OPENING + b'"', b"\\u0041", b'"}'),
    "halves of pairs": lambda size: filled(size, OPENING + b'"', b"\\ud800", b'"}'),
    "no UTF-8 at the end": lambda size: filled(size, OPENING + b'"', b"x", b'\xff"}'),
    "digits": lambda size: filled(size, OPENING, b"9", b"}"),
    "digits of a version": lambda size: filled(size, OPENING + b'"a","expected_version":', b"9", b"}"),
    "digits of a timeout": lambda size: filled(size, OPENING + b'"a","timeout":0.', b"0", b"1}"),
    "digits of an amount": lambda size: filled(size, b'{"type":"deposit","account_id":"a","amount":0.', b"0", b"1}"),
    "lists in lists": lambda size: filled(size, OPENING, b"["),
    "objects in objects": lambda size: filled(size, OPENING, b'{"a":'),
    "many lists": lambda size: filled(size, OPENING + b"[", b"[],", b"[]]}"),
    "many objects beside a quotation mark in a key": lambda size: filled(
        size, b'{"type":"open","\\"":[', b"{},", b"{}]}"
    ),
    "numbers beside a quotation mark in a key": lambda size: filled(size, b'{"type":"open","\\"":[', b"1e308,", b"1]}"),
    "many keys": lambda size: keys(size, b"", b""),
    "many keys with quotation marks": lambda size: keys(size, b'\\"', b""),
    "a key twice after many": lambda size: keys(size, b"", b',"000000":2'),
    "a long key": lambda size: filled(size, b'{"type":"open","', b"x", b'":1}'),
    "a long name of a command": lambda size: filled(size, b'{"type":"', b"x", b'"}'),
    "quotation marks": lambda size: b'"' * size,
    "commas": lambda size: b"," * size,
    "zeros": lambda size: b"\0" * size,
}
"""By what they are full of: the line of a worker, each of which is also a payload that no store should hold."""
