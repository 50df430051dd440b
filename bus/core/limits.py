"""Limits: every bound of the bus in one struct; each has a finite default and is read somewhere."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one bus. Units come last in a name; seconds are floats."""

    send_timeout_s: float = 30.0
    """Deadline of a command whose sender names none."""
    query_timeout_s: float = 30.0
    """Deadline of a query, its wait for `after=` included."""
    wait_timeout_s: float = 30.0
    """Deadline of `wait_projected` and `wait_settled`."""
    shutdown_timeout_s: float = 30.0
    """How long leaving the bus may take to finish what is in flight and to bring projectors up to date."""

    mailbox_commands_max: int = 1_024
    """Commands that wait for one aggregate; the senders of more wait for room until their deadline."""
    bus_commands_max: int = 65_536
    """Commands in flight in the whole bus, the waiting senders' included; more are `Overloaded` at once."""
    send_many_commands_max: int = 4_096
    """Commands of one `send_many` in flight together."""

    batch_commands_max: int = 2_048
    """Commands decided in one turn and committed in one transaction."""
    turn_actors_min: int = 24
    """Aggregates with mail for which a turn begins beside another one, on a store that takes more appends at once."""
    batch_bytes_max: int = 16 * 1024 * 1024
    """Payload bytes after which a turn takes no further command."""
    command_events_max: int = 1_000
    """Events that one command may record."""
    event_bytes_max: int = 1024 * 1024
    """Encoded size of one event."""

    append_attempts_max: int = 8
    """Appends of one batch whose outcome is unknown, before its senders are told `OutcomeUnknown`."""
    append_backoff_s: float = 0.05
    """Wait before the second append; doubled for each later one, up to `append_backoff_max_s`."""
    append_backoff_max_s: float = 2.0
    """Longest wait between two appends of a batch."""
    conflict_attempts_max: int = 8
    """Decisions of one command whose append met another writer's, before `ConflictExhausted`."""

    residents_max: int = 100_000
    """Aggregates kept in memory; beyond it the least recently used are passivated."""
    idle_timeout_s: float = 300.0
    """An aggregate without mail for this long is passivated."""
    recover_streams_max: int = 2_048
    """Cold aggregates loaded by one query."""
    recover_events_max: int = 5_000
    """Events of one page while aggregates are recovered."""
    snapshots_waiting_max: int = 1_024
    """Snapshots not yet written; those of more aggregates are taken after a later command."""
    snapshot_batch_max: int = 64
    """Snapshots written in one transaction."""
    snapshot_bytes_max: int = 16 * 1024 * 1024
    """Encoded size of one snapshot."""
    restart_backoff_s: float = 0.05
    """Wait after a crash of one of the bus's own tasks; doubled each time, up to `restart_backoff_max_s`."""
    restart_backoff_max_s: float = 5.0
    """Longest wait between two starts of a crashed task."""

    feed_events_max: int = 16_384
    """Committed events kept for projectors; one that is further behind reads pages from the store."""
    page_events_max: int = 2_000
    """Events of one page read from the store."""
    poll_interval_s: float = 0.5
    """How often a store that others write to is asked for news when nothing else tells of them."""
    projection_events_max: int = 2_000
    """Events that a projector folds into one transaction of the view store."""
    projection_attempts_max: int = 5
    """Attempts to project one event before the projection stops."""
    projection_backoff_s: float = 0.02
    """Wait before the second attempt; doubled for each later one, up to `projection_backoff_max_s`."""
    projection_backoff_max_s: float = 2.0
    """Longest wait between two attempts of a projector."""
    rebuild_share: float = 0.05
    """Part of the time that is spent on views being built beside those that answer, while events are recorded."""
    rebuild_events_max: int = 250
    """Events folded into one transaction of such views: what comes meanwhile waits for it."""
    replaced_grace_s: float = 3_600.0
    """How long views that were replaced are kept and kept up to date, for processes that still answer from them."""
    switch_pause_s: float = 1.0
    """Longest pause of the projector that answers, while another build is about to take its place."""
    batch_timeout_s: float = 60.0
    """How long a batch projection's `handle` may take for one batch, and its `setup`."""
    standing_interval_s: float = 2.0
    """Shortest time between two notes in the view store of how a projection stands, for who looks from outside."""
    parked_keys_max: int = 1_000
    """Keys of one projection with parked events; at one more the projection stops."""
    lease_s: float = 10.0
    """How long a projection stays with a process that does not answer, before another one sharing its views goes on."""
    event_keys_max: int = 1_000
    """Views that one event may touch in one projection."""
    cached_views_max: int = 10_000
    """Views that one projector keeps in memory; beyond it the least recently used are read again."""

    find_views_max: int = 10_000
    """Views that one `find` without a limit may return."""
    find_values_max: int = 1_000
    """Values of one `one_of`."""
    reindex_views_max: int = 1_000
    """Views in memory at a time while a projection's views are indexed anew."""
    query_restarts_max: int = 8
    """Fresh snapshots that one query may need because a view it came to read was not yet at `after`."""
    cached_answers_max: int = 100_000
    """Answers that are kept of all `cached` query handlers together; the least recently used go first."""
    watch_interval_s: float = 0.05
    """Shortest time between two answers of one `watch`."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"Limits.{name} must be a number, not {value!r}")
            if not value > 0:
                raise ValueError(f"Limits.{name} must be above zero, not {value!r}")
            if name.endswith("_max") and not isinstance(value, int):
                raise TypeError(f"Limits.{name} must be a whole number, not {value!r}")
