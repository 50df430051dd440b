"""Benchmarks: what the bus costs, each figure beside its limit of the same run.

    python -m bench                                          every case, each in a process of its own
    python -m bench --case commands.sqlite --clients 64      one case, with its settings
    python -m bench --case soak --seconds 600                the soak, which is not among the others

Each case prints one JSON line to standard output:

    case, clients, commands   what was measured, from how many concurrent senders, over how many commands
    value, unit               the absolute figure, of this machine at this hour
    limit, of_limit           what the same work costs without a bus, measured in turns with it, and value / limit
    target, met               what `of_limit` (or `value`, where there is no limit) must reach
    ...                       more figures of the case, named with their units

Compare `of_limit`, not `value`: the absolute figures drift with the machine by a factor of two and more, and the limit
drifts along. Case and limit take turns (A B B A ...); `value` and `limit` are the medians, and
`of_limit` the median of the turns' own ratios, within which both had the same neighbours. Both run under the garbage
collector's settings of a worker process: what exists before the timed part is frozen, and the threshold is raised.
Rates are better the higher they are, times and bytes the lower.
The workload and the limits are in `bench/limits.py` and `bench/postgres_limits.py`, which later changes leave alone.
"""
