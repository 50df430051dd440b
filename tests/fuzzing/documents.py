"""Documents: JSON objects that are nearly right, as bytes, damaged by type, value, key, order, encoding or byte."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hypothesis import strategies as st

DEEP: Final = 100_000
"""Far deeper than anything reads."""

_NASTY: Final[Sequence[bytes]] = (
    *(b"null", b"true", b"[]", b"{}", b'""', b'"1"', b"0", b"-0", b"-1", b"1.0", b"1e5", b"0.1", b"1e-400", b"1e999"),
    *(b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616"),
    *(b"9" * 400, b"9" * 5_000, b"0." + b"1" * 5_000, b"01", b"+1", b".5", b"1.", b"NaN", b"-Infinity", b"nan"),
    *(
        b'"\\u0000"',
        b'"a\\u0000b"',
        b'"\x00"',
        b'"\x1f"',
        b'"\x7f"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ud83d\\ude00"',
    ),
    *(b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf5\x80\x80\x80"', b'"\xef\xbb\xbf"', b'"\xe2\x80\xa8"', b"'a'"),
    *(b'"2013-01-01T10:17:00Z"', b'"2013-01-01T10:17:00"', b'"2013-01-01T10:17:00+23:59"', b'"2013-02-30T10:17:00Z"'),
    *(b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59.999999-23:59"', b'"0000-01-01T00:00:00Z"', b'"P1D"'),
    *(
        b'"-P999999999DT23H"',
        b'"P1000000000D"',
        b'"PT1e9S"',
        b'"' + b"x" * 300 + b'"',
        '"é日😀"'.encode(),
        b'"\\""',
        b'"\\q"',
    ),
    *(b"[" * DEEP, b'{"a":' * DEEP, b"[" * 500 + b"]" * 500, b'{"a":1,"a":2}', b"[1,]", b'{"a"}', b"\xef\xbb\xbf1"),
    *(b'"../../etc/passwd"', b'"\'; DROP TABLE events; --"', b'"%s%n{0}${jndi}"', b'"\\n\\r\\u2028\\u001b[2J"'),
)


def values() -> st.SearchStrategy[bytes]:
    """A value as it may be written, or something that is none."""
    plain = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )
    return st.sampled_from(_NASTY) | plain.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=6)


@st.composite
def documents(draw: st.DrawFn, bases: Sequence[Mapping[str, Any]], keys: Sequence[str] = ()) -> bytes:
    """One of the objects given, with some damage done to it; or none, so that some remain as they are."""
    base = draw(st.sampled_from(bases))
    members = [(json.dumps(key).encode(), json.dumps(value).encode()) for key, value in base.items()]
    names = st.sampled_from([*{key for one in bases for key in one}, *keys])
    written = (names | st.text(max_size=4)).map(lambda name: json.dumps(name).encode())
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(0, len(members) - 1)))
        match draw(st.sampled_from("vvvvkaadrsx")):
            case "v" if members:
                members[place] = members[place][0], draw(values())
            case "k" if members:
                members[place] = draw(written), members[place][1]
            case "a":
                members.insert(place, (draw(written), draw(values())))
            case "d" if members:
                del members[place]
            case "r" if members:
                members.append(members[place])
            case "s" if members:
                # The same key, written otherwise.
                key = members[place][0]
                members.insert(0, (b'"\\u%04x' % key[1] + key[2:], members[place][1]))
            case _:
                members = draw(st.permutations(members))
    text = b"{" + b",".join([key + b":" + value for key, value in members]) + b"}"
    return draw(damaged(text)) if draw(st.integers(0, 3)) == 0 else text


@st.composite
def damaged(draw: st.DrawFn, text: bytes) -> bytes:
    """Some bytes with others put in, taken out or cut off."""
    place = draw(st.integers(0, len(text)))
    match draw(st.sampled_from("icdbw")):
        case "i":
            return text[:place] + draw(st.binary(max_size=4)) + text[place:]
        case "c":
            return text[:place]
        case "d":
            return text[:place] + text[place + draw(st.integers(1, 4)) :]
        case "b":
            return b"\xef\xbb\xbf" + text
        case _:
            blank = draw(st.sampled_from([b" ", b"\t\r", b" " * 100]))
            return blank + text + blank
