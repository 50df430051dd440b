"""Answers: writes the outcome of a line as a line of JSON."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from adapters.cli.wire import Refusal
from bus import BusError, Receipt

Outcome = Receipt | BusError | Refusal
"""What became of a line."""


class Accepted(msgspec.Struct):
    """The answer to a command that was carried out."""

    line: int
    receipt: "ShownReceipt"


class ShownReceipt(msgspec.Struct):
    """A receipt without its events."""

    command_id: str
    stream: str
    version: int
    position: int
    events: int
    """How many were recorded."""
    duplicate: bool
    trace_id: str | msgspec.UnsetType = msgspec.UNSET


def answers(outcomes: Iterable[tuple[int, Outcome]]) -> bytes:
    """The outcomes of numbered lines, a line each."""
    lines = [
        _encode(Accepted(number, _shown(outcome))) if isinstance(outcome, Receipt) else _error(number, outcome)
        for number, outcome in outcomes
    ]
    lines.append(b"")
    return b"\n".join(lines)


def _shown(receipt: Receipt) -> ShownReceipt:
    return ShownReceipt(
        receipt.command_id,
        receipt.stream,
        receipt.version,
        receipt.position,
        len(receipt.events),
        receipt.duplicate,
        msgspec.UNSET if receipt.trace_id is None else receipt.trace_id,
    )


def _error(number: int, error: BusError | Refusal) -> bytes:
    code = error.code
    message = error.message if isinstance(error, Refusal) else str(error)
    facts = {name: fact for name, fact in error.facts.items() if name not in ("code", "message")}
    try:
        return _encode({"line": number, "error": {"code": code, "message": message, **facts}})
    except Exception:
        # A rejection's facts may be any objects, also such as JSON cannot carry or that cannot even be shown.
        return _encode({"line": number, "error": {"code": code, "message": _text(message), **_texts(facts)}})


def _texts(facts: Mapping[str, object]) -> dict[str, str]:
    return {_text(name): _text(fact) for name, fact in facts.items()}


def _text(value: object) -> str:
    """A text for people, without what cannot be written as UTF-8."""
    try:
        text = str(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text.encode(errors="backslashreplace").decode()


_encode: Final = msgspec.json.Encoder(enc_hook=str).encode
