"""Meters: counts what happens at the price of a dictionary, and records times of as much as is affordable."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from adapters.otel.declared import METRICS, Metric
from adapters.otel.outcomes import OK, outcome_of, outcome_of_error
from adapters.otel.pace import Pace
from bus.core.errors import BusError, Rejected
from bus.core.messages import Command
from bus.core.reports import Decided, Failed, Projected, Queried, Recovered, Sent, Turned
from bus.core.statistics import Statistics

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0)

Labels = tuple[str, ...]
"""Values of a metric's labels, in the order in which it declares them."""


class Meters:
    """The instruments. Counters are exact and are looked at when somebody collects; ids never become labels."""

    def __init__(self, meter: Meter) -> None:
        self._totals: dict[str, Counter[Labels]] = {}
        self._histograms: dict[str, Histogram] = {}
        self._statistics: Callable[[], Statistics] | None = None
        self._last: Statistics | None = None
        self._activations = self._passivations = 0
        """Of buses that were opened with this telemetry before."""
        for metric in METRICS:
            self._make(meter, metric)
        self._commands = self._totals["doubledecker.commands"]
        self._accepted: dict[type[Command], int] = {}
        """Commands that went well, by type: the fast way to count what is nearly all."""
        self._duration = self._histograms["doubledecker.command.duration"]
        self._wait = self._histograms["doubledecker.mailbox.wait"]
        self._turns, self._decisions, self._answers = Pace(), Pace(), Pace()
        self._recoveries, self._queries = Pace(), Pace()

    def _make(self, meter: Meter, metric: Metric) -> None:
        if metric.instrument == "histogram":
            bounds = SECONDS if metric.unit == "s" else SIZES
            self._histograms[metric.name] = meter.create_histogram(
                metric.name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=bounds
            )
            return
        self._totals[metric.name] = Counter()

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return self._observed(metric)

        make = meter.create_observable_counter if metric.instrument == "counter" else meter.create_observable_gauge
        make(metric.name, [observe], metric.unit, metric.meaning)

    def opened(self, statistics: Callable[[], Statistics]) -> None:
        self._statistics = statistics

    def closed(self) -> None:
        last = self._now()
        self._statistics = self._last = None
        if last is not None:
            self._activations += last.recovered
            self._passivations += last.passivated

    def turned(self, turn: Turned, plain: list[type[Command]], special: Sequence[tuple[int, Decided]]) -> None:
        """Counts a turn: types of the `plain` decisions, which went well, and the `special` others one by one."""
        decided, ended = turn.decided, turn.ended
        accepted = self._accepted
        for _, (sent, refusal, *_) in special:
            if refusal is None:
                plain.append(sent.command.__class__)
            else:
                self._refused(sent.command, refusal)
        while plain:
            # Most turns hold commands of few types.
            kind, before = plain[0], len(plain)
            if plain.count(kind) == before:
                accepted[kind] = accepted.get(kind, 0) + before
                break
            plain = [one for one in plain if one is not kind]
            accepted[kind] = accepted.get(kind, 0) + before - len(plain)
        for index in self._decisions.picked(len(decided), ended):
            sent, refusal = decided[index][:2]
            self._time(turn, sent, OK if refusal is None else outcome_of_error(refusal))
        if turn.answered or turn.joined:
            self._one_by_one(turn)
        if turn.again:
            self._totals["doubledecker.conflicts"].update([(type(sent.command).__name__,) for sent in turn.again])
        if turn.committing is not None and turn.failure is None and self._turns.picked(1, ended):
            self._histograms["doubledecker.batch.commands"].record(turn.commands)
            self._histograms["doubledecker.commit.duration"].record(ended - turn.committing)

    def _one_by_one(self, turn: Turned) -> None:
        everybody = [*turn.answered, *turn.joined]
        outcomes: list[str] = []
        for sent, answer in everybody:
            outcome = outcome_of(answer, is_late=sent.deadline <= turn.ended)
            outcomes.append(outcome)
            if isinstance(answer, BusError):
                self._refused(sent.command, answer, outcome)
            else:
                self._commands[type(sent.command).__name__, outcome] += 1
                if answer is None and outcome == "timeout":
                    self._totals["doubledecker.errors"]["command", "deadline-exceeded"] += 1
        for index in self._answers.picked(len(everybody), turn.ended):
            self._time(turn, everybody[index][0], outcomes[index])

    def _time(self, turn: Turned, sent: Sent, outcome: str) -> None:
        labels = {"type": type(sent.command).__name__, "outcome": outcome}
        self._duration.record(turn.ended - sent.sent, labels)
        if turn.started is not None:
            self._wait.record(max(0.0, turn.started - sent.sent))

    def refused(self, command: object, error: BusError) -> None:
        """Counts what did not get as far as a mailbox."""
        self._refused(command, error)

    def _refused(self, command: object, error: BusError, outcome: str | None = None) -> None:
        self._commands[type(command).__name__, outcome or outcome_of_error(error)] += 1
        if not isinstance(error, Rejected):
            self._totals["doubledecker.errors"]["command", error.code] += 1

    def recovered(self, actors: Sequence[Recovered]) -> None:
        for index in self._recoveries.picked(len(actors), actors[0].ended if actors else 0.0):
            actor = actors[index]
            self._histograms["doubledecker.recovery.events"].record(actor.events, {"category": actor.category})

    def projected(self, batch: Projected) -> None:
        self._totals["doubledecker.projection.events"][batch.projection,] += batch.read

    def queried(self, query: Queried) -> None:
        outcome = OK if query.is_answered else "cancelled"
        if query.error is not None:
            outcome = outcome_of_error(query.error)
            self._totals["doubledecker.errors"]["query", query.error.code] += 1
        self._totals["doubledecker.queries"][query.query, outcome] += 1
        if self._queries.picked(1, query.ended):
            labels = {"type": query.query, "outcome": outcome}
            self._histograms["doubledecker.query.duration"].record(query.ended - query.started, labels)

    def failed(self, failure: Failed) -> None:
        self._totals["doubledecker.retries"][failure.part,] += 1

    def _observed(self, metric: Metric) -> Iterable[Observation]:
        """Called when somebody collects, in whichever thread."""
        statistics = self._now()
        if metric.name == "doubledecker.actors.activations":
            return [Observation(self._activations + (0 if statistics is None else statistics.recovered))]
        if metric.name == "doubledecker.actors.passivations":
            return [Observation(self._passivations + (0 if statistics is None else statistics.passivated))]
        if metric.instrument == "gauge":
            return [] if statistics is None else list(_gauged(metric.name, statistics))
        totals = dict(self._totals[metric.name])
        if metric.name == "doubledecker.commands":
            for kind, count in dict(self._accepted).items():
                labels = (kind.__name__, OK)
                totals[labels] = totals.get(labels, 0) + count
        return [Observation(count, dict(zip(metric.labels, labels, strict=True))) for labels, count in totals.items()]

    def _now(self) -> Statistics | None:
        """The bus at this moment. In another thread it may change while it is looked at: then the last look counts."""
        statistics = self._statistics
        if statistics is None:
            return None
        for _ in range(3):
            try:
                self._last = statistics()
                break
            except RuntimeError:
                continue
        return self._last


def _gauged(name: str, statistics: Statistics) -> Iterable[Observation]:
    whole: dict[str, int] = {
        "doubledecker.mailbox.depth": statistics.commands_in_flight,
        "doubledecker.mailboxes": statistics.mailboxes,
        "doubledecker.actors.resident": statistics.residents,
        "doubledecker.dead_letters": statistics.dead_letters,
    }
    if name in whole:
        yield Observation(whole[name])
        return
    for projection in statistics.projections:
        values: dict[str, Any] = {
            "doubledecker.projection.lag.events": projection.lag_events,
            "doubledecker.projection.lag": projection.lag_s,
            "doubledecker.projection.stopped": int(projection.stopped is not None),
        }
        if values[name] is not None:
            yield Observation(values[name], {"projection": projection.name})
