"""Finding views in SQLite: one step of a question as a statement with its parameters.

SQLite orders as all stores do: NULL, then numbers, which it compares exactly, then texts by code point.
"""

from adapters.sqlite.view_schema import Table, quoted
from bus.core.finding import Among, Condition, Step
from bus.core.projection import IndexValue

Statement = tuple[str, list[IndexValue]]


def statement(table: Table, step: Step, descending: bool) -> Statement:
    """Gives keys and payloads in order; its last parameter, the limit, is still to be added."""
    parts: list[str] = []
    values: list[IndexValue] = []
    for name, condition in step.where.items():
        part, own = _condition(table.column(name), condition)
        parts.append(part)
        values += own
    if step.after_key is not None:
        parts.append("key > ?")
        values.append(step.after_key)
    conditions = " AND ".join(parts)
    order = "" if step.order_by is None else f"{table.column(step.order_by)} {'DESC' if descending else 'ASC'}, "
    return (
        f"SELECT key, payload FROM {quoted(table.name)} {'WHERE' if conditions else ''} {conditions} "
        f"ORDER BY {order}key LIMIT ?"
    ), values


def _condition(column: str, condition: Condition) -> Statement:
    if isinstance(condition, Among):
        return _among(column, condition.values)
    parts: list[str] = []
    values: list[IndexValue] = []
    if condition.low is not None:
        parts.append(f"{column} >= ?" if condition.low_inside else f"{column} > ?")
        values.append(condition.low)
    if condition.high is not None:
        parts.append(f"{column} <= ?" if condition.high_inside else f"{column} < ?")
        values.append(condition.high)
    # NULL is neither above nor below anything.
    return " AND ".join(parts) or f"{column} IS NOT NULL", values


def _among(column: str, wanted: tuple[IndexValue, ...]) -> Statement:
    # IS and not =, since None is a value like others here; both use an index.
    if len(wanted) == 1:
        return f"{column} IS ?", list(wanted)
    values = [value for value in wanted if value is not None]
    # A power of two as size, so that few statements do; some values come twice.
    size = 1 << (len(values) - 1).bit_length()
    listed = f"{column} IN ({','.join('?' * size)})"
    padded: list[IndexValue] = [*values, *[values[-1]] * (size - len(values))]
    return (listed if len(values) == len(wanted) else f"({listed} OR {column} IS NULL)"), padded
