"""Wire: reads a line of JSON as a command and how to send it, or says why it is none."""

import json
import re
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from bus import Application, Command, UnknownCommand

MALFORMED: Final = "malformed-line"
TOO_LONG: Final = "line-too-long"
INVALID: Final = "invalid-command"

_Version: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0)] | None
_ENVELOPE: Final[Mapping[str, Callable[[msgspec.Raw], Any]]] = {
    "type": msgspec.json.Decoder(str).decode,
    "command_id": msgspec.json.Decoder(str | None).decode,
    "expected_version": msgspec.json.Decoder(_Version).decode,
    "correlation_id": msgspec.json.Decoder(str | None).decode,
    "causation_id": msgspec.json.Decoder(str | None).decode,
    "timeout": msgspec.json.Decoder(_Seconds).decode,
}
"""The keys of a line that are not the command's own, each also known with a `$` before it, and how they are read."""

_SHOWN_CHARACTERS_MAX: Final = 100
_REASON_CHARACTERS_MAX: Final = 500
_NAMES_SHOWN_MAX: Final = 10
_HALF_A_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")

_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


class Order(msgspec.Struct):
    """What a line asks for: a command, and how to send it."""

    command: Command
    command_id: str | None = None
    expected_version: int | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    timeout: float | None = None
    """In seconds."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a line is no command; the bus never saw it."""

    code: str
    message: str
    facts: Mapping[str, object] = {}


class Wire:
    """Reads the commands of one application. Any bytes give an order or a refusal, and never an exception."""

    def __init__(self, application: Application) -> None:
        self._forms = {name: _Form(command) for name, command in application.command_names.items()}
        self._known = _listed(sorted(self._forms)) or "no commands"

    def read(self, line: bytes) -> Order | Refusal:
        """What one line, which is not blank, asks for."""
        try:
            fields: dict[str, msgspec.Raw] = _fields(line)
            # Each key and each text brings two quotation marks, so that more of them mean a repeated key, or one with
            # an escaped quotation mark in it. Counting is cheap; JSON readers silently take the last of repeated keys.
            if line.count(b'"') != 2 * len(fields) + b"".join(fields.values()).count(b'"'):
                _refuse_repeated_key(line)
            named = fields["$type"] if "$type" in fields else fields.get("type")
            if named is None:
                return _malformed("it has no type, the name of a command")
            form = self._forms.get(_ENVELOPE["type"](named))
            return self._unknown(named) if form is None else form.read(line, fields)
        except (ValueError, RecursionError) as error:
            return _malformed(_reason(line, error))

    def _unknown(self, named: msgspec.Raw) -> Refusal:
        name = _shown(_ENVELOPE["type"](named))
        message = f"there is no command {name!r}: this application takes {self._known}"
        return Refusal(UnknownCommand.code, message, {"command": name})


def too_long(bytes_max: int) -> Refusal:
    """The refusal of a line that was not even kept."""
    message = f"the line is longer than {bytes_max} bytes: it was skipped. Send commands that are smaller"
    return Refusal(TOO_LONG, message, {"bytes_max": bytes_max})


class _Form:
    """How the commands of one type are written."""

    def __init__(self, command: type[Command]) -> None:
        config = command.__struct_config__
        self._name = str(config.tag)
        own: Sequence[str] = command.__struct_encode_fields__
        self._own: Set[str] = frozenset(own)
        self._envelope = {
            key: name for name in _ENVELOPE for key in (name, f"${name}") if key.startswith("$") or key not in self._own
        }
        self._keys = self._own | self._envelope.keys()
        # A command that forbids unknown fields may not see those of the envelope either.
        self._is_strict = config.forbid_unknown_fields
        self._decode = msgspec.json.Decoder(command).decode

    def read(self, line: bytes, fields: dict[str, msgspec.Raw]) -> Order | Refusal:
        """The order that a line is, given its fields; raises `ValueError` for a line that is no good JSON."""
        if not self._keys >= fields.keys():
            return self._foreign([key for key in fields if key not in self._keys])
        given: dict[str, Any] = {}
        for key, raw in fields.items():
            name = self._envelope.get(key)
            if name is None:
                continue
            if name in given:
                return self._invalid(f"it has both {name!r} and '${name}'")
            try:
                given[name] = _ENVELOPE[name](raw)
            except msgspec.ValidationError as error:
                return self._invalid(f"{error} - at `$.{key}`")
        if "type" not in given:
            return self._invalid("it has a field 'type' of its own: send its name as '$type'")
        del given["type"]
        if self._is_strict:
            line = _encode({key: raw for key, raw in fields.items() if key not in self._envelope})
        try:
            return Order(self._decode(line), **given)
        except msgspec.ValidationError as error:
            return self._invalid(str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise
        except Exception as error:
            # A command's own `__post_init__` may refuse values with whatever it likes.
            return self._invalid(f"{type(error).__name__}: {error}")

    def _foreign(self, keys: list[str]) -> Refusal:
        names = [_shown(key) for key in keys[:_NAMES_SHOWN_MAX]]
        listed = ", ".join(repr(name) for name in names) + (", ..." if len(keys) > len(names) else "")
        why = f"it has no field {listed}; its fields are {_listed(sorted(self._own))}"
        return self._invalid(why, fields=names)

    def _invalid(self, why: str, **facts: object) -> Refusal:
        message = f"the line is no valid {self._name!r}: {_shown(why, _REASON_CHARACTERS_MAX)}"
        return Refusal(INVALID, message, {"command": self._name, **facts})


def _malformed(why: str) -> Refusal:
    message = f"the line is no command: {_shown(why, _REASON_CHARACTERS_MAX)}. Send one JSON object with a type a line"
    return Refusal(MALFORMED, message)


def _reason(line: bytes, error: Exception) -> str:
    """Why a line could not be read, in words that a sender understands."""
    try:
        line.decode()
    except UnicodeDecodeError as fault:
        return f"it is not valid UTF-8 (byte {fault.start})"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if _HALF_A_PAIR.search(line) is not None and _is_json(line):
        return "it has half a surrogate pair, which is no character"
    return str(error)


def _is_json(line: bytes) -> bool:
    """Whether the line is JSON for a reader that lets half a surrogate pair pass."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_repeated_key(line: bytes) -> None:
    """Raises `ValueError` if the line's object has a key twice. What is nested in its values is not looked at."""
    pairs: list[list[tuple[str, object]]] = []
    # The outermost object is finished last.
    json.loads(line, object_pairs_hook=pairs.append)
    seen: set[str] = set()
    for key, _ in pairs[-1]:
        if key in seen:
            raise ValueError(f"it has the key {_shown(key)!r} twice")
        seen.add(key)


def _shown(text: str, characters_max: int = _SHOWN_CHARACTERS_MAX) -> str:
    return text if len(text) <= characters_max else f"{text[:characters_max]}..."


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN_MAX]) + (", ..." if len(names) > _NAMES_SHOWN_MAX else "")
