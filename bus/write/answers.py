"""Answers: the errors of the write side; each says what happened, whether it was recorded, and what to do."""

from bus.core.annotations import tag_of
from bus.core.errors import (
    CommandFailed,
    CommandIdReused,
    ConflictExhausted,
    DeadlineExceeded,
    OutcomeUnknown,
    Overloaded,
    UnknownCommand,
    VersionConflict,
    in_words,
)
from bus.core.messages import Command
from bus.write.envelope import Envelope


def reused(command_id: str, stream: str) -> CommandIdReused:
    """The error for an id that belongs to another command."""
    return CommandIdReused(
        f"command id {command_id!r} belongs to another command, sent to {stream!r}: nothing was recorded. "
        "Give every command an id of its own and repeat an id only with the very same command",
        command_id=command_id,
        stream=stream,
    )


def overloaded(stream: str, in_flight: int) -> Overloaded:
    return Overloaded(
        f"{in_flight} commands are in flight, which is the most this bus allows: nothing was recorded. "
        "Send fewer at a time, or raise Limits.bus_commands_max",
        stream=stream,
    )


def no_time(stream: str, timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"a timeout of {timeout} s left no time to decide a command to {stream!r}: nothing was recorded. "
        "Send it again, with more time",
        stream=stream,
    )


def unknown_command(command: object) -> UnknownCommand:
    name = type(command).__qualname__
    if isinstance(command, type):
        name = command.__qualname__
        hint = f"it is a class; send an instance, {command.__name__}(...)"
    elif not isinstance(command, Command):
        hint = "it is no Command"
    else:
        hint = "no decider of the application takes it; add its decider to Application(deciders=[...])"
    return UnknownCommand(f"cannot send {name}: {hint}. Nothing was recorded", command=name)


def failed_before(command: Command, stream: str | None, why: str) -> CommandFailed:
    name = tag_of(type(command))
    return CommandFailed(
        f"command {name!r} failed: {why}. Nothing was recorded; this is a mistake in the code that made the command",
        command=name,
        stream=stream,
    )


def unknown(envelope: Envelope, why: str) -> OutcomeUnknown:
    """The error for a command that was staged and not answered by the store."""
    return OutcomeUnknown(
        f"command {envelope.command_id!r} to {envelope.actor.stream!r} was perhaps recorded ({why}). "
        "Send it again with the same command id: that gives the first receipt if it was, and records it if not",
        command_id=envelope.command_id,
        stream=envelope.actor.stream,
    )


def exhausted(envelope: Envelope) -> ConflictExhausted:
    return ConflictExhausted(
        f"other writers changed {envelope.actor.stream!r} before each of {envelope.attempts} attempts: nothing was "
        "recorded. Send the command again, or let one process own the aggregate",
        stream=envelope.actor.stream,
        attempts=envelope.attempts,
    )


def conflict(stream: str, expected: int, actual: int) -> VersionConflict:
    return VersionConflict(
        f"stream {stream!r} is at version {actual}, not at the expected {expected}: nothing was recorded. "
        "Read the aggregate again and decide whether the command still makes sense",
        stream=stream,
        expected=expected,
        actual=actual,
    )


def failed(command: Command, stream: str, error: BaseException) -> CommandFailed:
    name = tag_of(type(command))
    failed = CommandFailed(
        f"command {name!r} failed for {stream!r}: {in_words(error)}. Nothing was recorded; "
        "this is a bug in the aggregate's code, not a rejection",
        command=name,
        stream=stream,
    )
    failed.__cause__ = error
    return failed
