"""Operations: what was asked of a simulated bus, what it answered, and whether that can be true."""

from collections.abc import Callable

import msgspec

from bus.core.errors import (
    BusClosed,
    BusError,
    CommandFailed,
    CommandIdReused,
    ConflictExhausted,
    DeadlineExceeded,
    NotRecorded,
    OutcomeUnknown,
    Overloaded,
    Rejected,
    StoreUnavailable,
    VersionConflict,
)
from bus.core.messages import Command, Receipt
from bus.testing.simulation.model import Decision, Model, Version, Violated

_NOTHING_RECORDED = (BusClosed, DeadlineExceeded, Overloaded, StoreUnavailable)
"""What a bus may answer to any command at any time."""


class Operation(msgspec.Struct, eq=False):
    """One call of `send`."""

    number: int
    command: Command
    command_id: str
    """Empty where it was refused before it had one."""
    is_named: bool
    """Whether its sender named the id, and may send it again."""
    expected_version: int | None
    invoked: int
    """The store's last position when it was called."""
    deadline: float
    life: int = 0
    """The number of the life that was asked; nobody joins a command of another."""
    since: int = 0
    """That position of the first call that it may have joined."""
    may_join: bool = False
    """Whether it is given another call's answer, whatever version it expects itself."""
    outcome: Receipt | BusError | None = None
    """None while there is none, for ever where its sender was cancelled or the process ended."""
    answered: int = 0
    """The store's last position when it was answered."""

    @property
    def is_denied(self) -> bool:
        """Whether it was told that nothing was recorded."""
        return isinstance(self.outcome, NotRecorded | Rejected)


class Operations:
    """All operations of a history, each checked against the model when it is answered and again at the end."""

    def __init__(self, model: Model, *, conflict_attempts_max: int) -> None:
        self._model = model
        self._conflict_attempts_max = conflict_attempts_max
        self._all: list[Operation] = []
        self._sent: dict[str, list[Command]] = {}
        self._alive: dict[tuple[int, str], list[Operation]] = {}
        """By life and command id, those of the lives that last."""

    def begin(self, operation: Operation) -> None:
        """Notes a call."""
        self._all.append(operation)
        self._sent.setdefault(operation.command_id, []).append(operation.command)
        alive = self._alive.setdefault((operation.life, operation.command_id), [])
        # Who joins a command in flight is given its answer, which may be older than the call.
        joined = [one.since for one in alive if one.outcome is None or isinstance(one.outcome, OutcomeUnknown)]
        operation.since = min([operation.invoked, *joined])
        operation.may_join = bool(joined)
        alive.append(operation)

    def crash(self, life: int) -> None:
        """Nothing of that life is in flight any more."""
        self._alive = {place: operations for place, operations in self._alive.items() if place[0] != life}

    def answer(self, operation: Operation, outcome: Receipt | BusError) -> None:
        """Notes an answer; raises `Violated` where it cannot be true."""
        operation.outcome = outcome
        operation.answered = self._model.head
        if isinstance(outcome, Receipt):
            self._check_receipt(operation, outcome)
        elif isinstance(outcome, Rejected | VersionConflict):
            self._check_refusal(operation, outcome)
        elif isinstance(outcome, CommandIdReused):
            if all(one == operation.command for one in self._sent[operation.command_id]):
                raise Violated(f"command {operation.number} was refused as one of another payload: {outcome}")
        elif isinstance(outcome, ConflictExhausted):
            self._check_exhausted(operation)
        elif isinstance(outcome, CommandFailed):
            raise Violated(f"{operation.command} failed: {outcome!r}, because of {outcome.__cause__!r}")
        elif not isinstance(outcome, OutcomeUnknown) and type(outcome) not in _NOTHING_RECORDED:
            raise Violated(f"command {operation.number} was answered with {outcome!r}")

    def check_all(self) -> None:
        """What must hold at the end: what was acknowledged is there, once; what was denied is not."""
        firsts: set[str] = set()
        certain: dict[str, bool] = {}
        for one in self._all:
            outcome = one.outcome
            certain[one.command_id] = certain.get(one.command_id, True) and one.is_denied
            if isinstance(outcome, Receipt) and outcome.events:
                self._check_recorded(one, outcome)
                if not outcome.duplicate:
                    if one.command_id in firsts:
                        raise Violated(f"two senders of {one.command_id!r} were told that theirs was the first")
                    firsts.add(one.command_id)
        for command_id, is_denied in certain.items():
            if is_denied and command_id in self._model.by_command:
                raise Violated(f"command {command_id!r} is recorded, but each sender was told that nothing is")

    def _check_receipt(self, operation: Operation, receipt: Receipt) -> None:
        what = f"the receipt of command {operation.number}, {receipt},"
        stream = self._model.stream_of(operation.command)
        if (receipt.command_id, receipt.stream) != (operation.command_id, stream):
            raise Violated(f"{what} is of another command than {operation.command_id!r} to {stream!r}")
        if receipt.events:
            first = self._check_recorded(operation, receipt)
            if not receipt.duplicate and not operation.invoked < first <= operation.answered:
                raise Violated(f"{what} says that it was recorded now, but that was at another time")
            if receipt.duplicate and first > operation.invoked and len(self._sent[operation.command_id]) == 1:
                raise Violated(f"{what} says that it is not the first, but it was sent only once")
            before = receipt.version - len(receipt.events)
            if operation.expected_version not in (None, before) and not receipt.duplicate:
                raise Violated(f"{what} began at version {before}, not at {operation.expected_version}")
            return
        self._check_no_trace(operation)
        if not self._model.versions(stream)[-1].number >= receipt.version or receipt.position > operation.answered:
            raise Violated(f"{what} is ahead of the store")
        if not self._explained(
            operation, receipt.version, lambda decision: not (decision.rejection or decision.events)
        ):
            raise Violated(f"{what} says that nothing happened, but its aggregate was at no version that says so")

    def _check_refusal(self, operation: Operation, refusal: Rejected | VersionConflict) -> None:
        what = f"command {operation.number}, {operation.command}, was refused with {refusal!r},"
        self._check_no_trace(operation)
        if isinstance(refusal, VersionConflict):
            versions = self._versions(operation)
            as_expected = refusal.actual == operation.expected_version and not operation.may_join
            if as_expected or refusal.actual not in [one.number for one in versions]:
                raise Violated(f"{what} but was at no such version")
        elif not self._explained(operation, None, lambda decision: type(decision.rejection) is type(refusal)):
            raise Violated(f"{what} which it is on none of the states that were committed while it waited")

    def _check_exhausted(self, operation: Operation) -> None:
        """At each attempt but the first, whose state may be old, somebody must have come between."""
        moves = len(self._versions(operation)) - 1
        if moves < self._conflict_attempts_max - 1:
            raise Violated(
                f"command {operation.number} met other writers {self._conflict_attempts_max} times, it is told, but "
                f"its aggregate moved {moves} times while it waited"
            )

    def _check_recorded(self, operation: Operation, receipt: Receipt) -> int:
        """The position of its first event; the receipt must be of what is in the store."""
        mine = self._model.by_command.get(receipt.command_id)
        if not mine:
            raise Violated(f"the receipt of command {operation.number}, {receipt}, is of what is not in the store")
        last = mine[-1]
        told = (receipt.stream, receipt.version, receipt.position, receipt.events)
        held = (last.stream, last.version, last.position, tuple([one.event for one in mine]))
        if told != held:
            raise Violated(f"the receipt of command {operation.number} says {told}, but the store says {held}")
        before = self._model.versions(last.stream)[mine[0].version - 1]
        if self._model.decide(operation.command, before.state).events != receipt.events:
            raise Violated(f"the receipt of command {operation.number} is that of another payload, {receipt.events}")
        return mine[0].position

    def _check_no_trace(self, operation: Operation) -> None:
        """A command that was recorded before it was called gets its first receipt, and nothing else."""
        recorded = self._model.by_command.get(operation.command_id)
        if recorded and recorded[-1].position <= operation.since:
            raise Violated(
                f"command {operation.number} was answered {operation.outcome!r}, but is recorded: {recorded}"
            )

    def _versions(self, operation: Operation) -> list[Version]:
        """Those that its aggregate had while it waited."""
        stream = self._model.stream_of(operation.command)
        return self._model.between(stream, operation.since, operation.answered)

    def _explained(self, operation: Operation, version: int | None, says: Callable[[Decision], bool]) -> bool:
        """Whether its aggregate had a state, while the operation waited, on which that is the answer."""
        for one in self._versions(operation):
            if version is not None and one.number != version:
                continue
            if operation.expected_version not in (None, one.number) and not operation.may_join:
                continue
            decision = self._model.decide(operation.command, one.state)
            if decision.bug is None and says(decision):
                return True
        return False
