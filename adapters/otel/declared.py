"""Declared: every span, attribute and metric that this adapter emits; docs/telemetry.md is printed from here."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from bus.core.messages import Message
from bus.core.safe import Told, told_fields

SCOPE: Final = "doubledecker"


class Attribute(NamedTuple):
    """An attribute of spans."""

    key: str
    type: str
    meaning: str
    spans: tuple[str, ...]
    """The spans that have it, by the first word of their names."""


class Span(NamedTuple):
    """A kind of span."""

    name: str
    kind: str
    parent: str
    links: str
    meaning: str


class Metric(NamedTuple):
    """An instrument."""

    name: str
    instrument: str
    unit: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def prometheus(self) -> str:
        """The name of its series in Prometheus, without a histogram's `_bucket`, `_sum` and `_count`."""
        suffix = "_seconds" if self.unit == "s" else ""
        return self.name.replace(".", "_") + suffix + ("_total" if self.instrument == "counter" else "")


SPANS: Final = (
    Span("send DepartFlight", "PRODUCER", "what is current for the sender", "", "From `send` to the answer."),
    Span(
        "process DepartFlight",
        "CONSUMER",
        "the send span",
        "on a repetition: the attempt before",
        "From the turn of the command's actor to the answer. Before it the command waited in the mailbox.",
    ),
    Span("recover flight", "INTERNAL", "process", "", "The actor was cold and was loaded from the store."),
    Span(
        "commit",
        "INTERNAL",
        "process",
        "",
        "The transaction that the command's events shared with others, done or failed; one span for each command.",
    ),
    Span("project departures", "CONSUMER", "the send span", "", "A projector that is level: one span for each event."),
    Span(
        "project departures",
        "CONSUMER",
        "none",
        "the send spans of its events",
        "A projector that catches up or rebuilds, or events that are old: one span for each batch.",
    ),
    Span("query GetDepartures", "INTERNAL", "what is current for whoever asks", "", "From `query` to the answer."),
)

_COMMAND = ("send", "process")

MESSAGE_KIND: Final = "doubledecker.message.kind"
MESSAGE_TYPE: Final = "doubledecker.message.type"
MESSAGE_ID: Final = "doubledecker.message.id"
CORRELATION_ID: Final = "doubledecker.correlation_id"
CAUSATION_ID: Final = "doubledecker.causation_id"
CATEGORY: Final = "doubledecker.aggregate.category"
AGGREGATE_ID: Final = "doubledecker.aggregate.id"
VERSION_BEFORE: Final = "doubledecker.aggregate.version_before"
VERSION_AFTER: Final = "doubledecker.aggregate.version_after"
EVENTS: Final = "doubledecker.events"
POSITION: Final = "doubledecker.position"
ATTEMPT: Final = "doubledecker.attempt"
MAILBOX_WAIT: Final = "doubledecker.mailbox.wait_s"
REPLAYED: Final = "doubledecker.recovery.events"
SNAPSHOT: Final = "doubledecker.recovery.snapshot"
BATCH_NUMBER: Final = "doubledecker.batch.number"
BATCH_COMMANDS: Final = "doubledecker.batch.commands"
BATCH_EVENTS: Final = "doubledecker.batch.events"
PROJECTION: Final = "doubledecker.projection"
OUTCOME: Final = "doubledecker.outcome"
CODE: Final = "doubledecker.code"
ERROR_TYPE: Final = "error.type"
FIELD: Final = "doubledecker.field."
"""Begins the names of attributes that are fields of messages."""

ATTRIBUTES: Final = (
    Attribute(MESSAGE_KIND, "string", "`command`, `event` or `query`", ("send", "process", "project", "query")),
    Attribute(MESSAGE_TYPE, "string", "the name of its class", ("send", "process", "project", "query")),
    Attribute(MESSAGE_ID, "string", "the command id; of an event, its position", ("send", "process", "project")),
    Attribute(CORRELATION_ID, "string", "the conversation", ("send", "process", "project")),
    Attribute(
        CAUSATION_ID,
        "string",
        "of a command, the one whose event it answers, where its sender named it; of an event, its own command",
        ("send", "process", "project"),
    ),
    Attribute(CATEGORY, "string", "the kind of aggregate", ("send", "process", "recover", "project")),
    Attribute(
        AGGREGATE_ID,
        "string",
        "which one; left out with `aggregate_ids=False`",
        ("send", "process", "project"),
    ),
    Attribute(MAILBOX_WAIT, "double", "seconds between sending and the actor's turn", ("process",)),
    Attribute(ATTEMPT, "int", "1, or more where other writers came before", ("process",)),
    Attribute(VERSION_BEFORE, "int", "the stream's version that it was decided on", ("process",)),
    Attribute(VERSION_AFTER, "int", "the stream's version after it; of an event, its own", ("process", "project")),
    Attribute(EVENTS, "int", "events that the command recorded", ("process",)),
    Attribute(POSITION, "int", "position of the last of them, of an event, of a batch's end", ("process", "project")),
    Attribute(REPLAYED, "int", "events that the actor was recovered from", ("recover",)),
    Attribute(SNAPSHOT, "boolean", "whether they followed a snapshot", ("recover",)),
    Attribute(BATCH_NUMBER, "int", "of the transaction, counted since the bus was opened", ("commit",)),
    Attribute(BATCH_COMMANDS, "int", "commands in the transaction", ("commit",)),
    Attribute(BATCH_EVENTS, "int", "events in the transaction; of a batch span, events read", ("commit", "project")),
    Attribute(PROJECTION, "string", "the projection", ("project",)),
    Attribute(
        f"{FIELD}<name>",
        "string, int, double or boolean",
        "a field of the message that its type declares `SAFE`",
        ("send", "process", "project", "query"),
    ),
    Attribute(
        OUTCOME,
        "string",
        "`ok`, `rejected`, `conflict`, `duplicate`, `timeout`, `cancelled` or `error`",
        ("send", "process", "commit", "query"),
    ),
    Attribute(CODE, "string", "the code of what was raised instead of an answer", ("send", "process", "query")),
    Attribute(
        ERROR_TYPE,
        "string",
        "the same where it is an error; then the status is ERROR",
        ("send", "process", "recover", "commit", "query"),
    ),
)

METRICS: Final = (
    Metric("doubledecker.commands", "counter", "{command}", ("type", "outcome"), "Commands that were answered."),
    Metric(
        "doubledecker.command.duration",
        "histogram",
        "s",
        ("type", "outcome"),
        "From `send` to the answer.",
    ),
    Metric("doubledecker.mailbox.wait", "histogram", "s", (), "From `send` to the actor's turn."),
    Metric("doubledecker.mailbox.depth", "gauge", "{command}", (), "Commands in flight: sent and not yet answered."),
    Metric("doubledecker.mailboxes", "gauge", "{actor}", (), "Actors with commands that are not yet decided."),
    Metric("doubledecker.actors.resident", "gauge", "{actor}", (), "Actors in memory."),
    Metric("doubledecker.actors.activations", "counter", "{actor}", (), "Actors loaded from the store."),
    Metric("doubledecker.actors.passivations", "counter", "{actor}", (), "Actors dropped because they were idle."),
    Metric("doubledecker.recovery.events", "histogram", "{event}", ("category",), "Events replayed for one actor."),
    Metric("doubledecker.batch.commands", "histogram", "{command}", (), "Commands of one transaction."),
    Metric("doubledecker.commit.duration", "histogram", "s", (), "One transaction of the event store."),
    Metric(
        "doubledecker.conflicts",
        "counter",
        "{command}",
        ("type",),
        "Decisions that another writer came before; they are made again.",
    ),
    Metric("doubledecker.errors", "counter", "{error}", ("kind", "code"), "Commands and queries that failed, by code."),
    Metric("doubledecker.queries", "counter", "{query}", ("type", "outcome"), "Queries that were answered, or failed."),
    Metric("doubledecker.query.duration", "histogram", "s", ("type", "outcome"), "From `query` to the answer."),
    Metric("doubledecker.projection.events", "counter", "{event}", ("projection",), "Events read by a projector."),
    Metric("doubledecker.projection.lag.events", "gauge", "{event}", ("projection",), "Events not yet in the views."),
    Metric("doubledecker.projection.lag", "gauge", "s", ("projection",), "Age of the oldest of these events."),
    Metric(
        "doubledecker.projection.stopped", "gauge", "{projection}", ("projection",), "1 where a projection has stopped."
    ),
    Metric("doubledecker.dead_letters", "gauge", "{event}", (), "Events that are parked."),
    Metric(
        "doubledecker.retries",
        "counter",
        "{attempt}",
        ("part",),
        "Failures after which the bus tries again: `append`, `projection`, `projection-store`, `task`.",
    ),
)


def fields_of(message: Message) -> Mapping[str, Told]:
    """The attributes that tell of a message what its type declares safe."""
    return {FIELD + name: value for name, value in told_fields(message).items()}
