"""Finding views in PostgreSQL: one step of a question as a statement with its parameters."""

from adapters.postgres.index_values import NONE, sortable
from adapters.postgres.view_tables import Table
from bus.core.finding import Among, Condition, Step

Statement = tuple[str, list[object]]


def statement(table: Table, step: Step, descending: bool, limit: int) -> Statement:
    """Gives keys and payloads in order."""
    parts: list[str] = []
    values: list[object] = []

    def add(comparison: str, value: object) -> None:
        values.append(value)
        parts.append(comparison.replace("?", f"${len(values)}"))

    for name, condition in step.where.items():
        for comparison, value in _comparisons(condition):
            add(f"{table.column(name)} {comparison}", value)
    if step.after_key is not None:
        add("key > ?", step.after_key)
    conditions = " AND ".join(parts)
    order = "" if step.order_by is None else f"{table.column(step.order_by)} {'DESC' if descending else 'ASC'}, "
    values.append(limit)
    return (
        f"SELECT key, payload FROM {{schema}}.views_{table.key} {'WHERE' if conditions else ''} {conditions} "
        f"ORDER BY {order}key LIMIT ${len(values)}"
    ), values


def _comparisons(condition: Condition) -> list[tuple[str, object]]:
    if isinstance(condition, Among):
        values = [sortable(value) for value in condition.values]
        return [("= ?", values[0])] if len(values) == 1 else [("= ANY(?::bytea[])", values)]
    low = NONE if condition.low is None else sortable(condition.low)
    found: list[tuple[str, object]] = [(">= ?" if condition.low is not None and condition.low_inside else "> ?", low)]
    if condition.high is not None:
        found.append(("<= ?" if condition.high_inside else "< ?", sortable(condition.high)))
    return found
