"""Prints the tables of docs/telemetry.md from the code: `python -m tests.architecture.telemetry` writes them anew."""

from collections.abc import Iterator
from pathlib import Path

from adapters.otel.declared import ATTRIBUTES, METRICS, SPANS
from tests.architecture import tree

PAGE = tree.ROOT / "docs" / "telemetry.md"


def tables() -> dict[str, str]:
    """Each table by the name of its place in the page."""
    return {"spans": _table(_spans()), "attributes": _table(_attributes()), "metrics": _table(_metrics())}


def printed(text: str) -> str:
    """The page with its tables as the code has them."""
    for name, table in tables().items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        assert begin, f"the page has no place for {name}"
        assert end, f"the place for {name} has no end"
        text = f"{before}{begin}{table}{end}{after}"
    return text


def _table(rows: Iterator[tuple[str, ...]]) -> str:
    head, *body = rows
    lines = [head, ("---",) * len(head), *body]
    return "".join([f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines])


def _spans() -> Iterator[tuple[str, ...]]:
    yield "name", "kind", "parent", "links", "what it covers"
    for span in SPANS:
        yield f"`{span.name}`", span.kind, span.parent, span.links or "-", span.meaning


def _attributes() -> Iterator[tuple[str, ...]]:
    yield "attribute", "type", "on", "meaning"
    for one in ATTRIBUTES:
        yield f"`{one.key}`", one.type, ", ".join(one.spans), one.meaning


def _metrics() -> Iterator[tuple[str, ...]]:
    yield "metric", "instrument", "unit", "labels", "in Prometheus", "meaning"
    for one in METRICS:
        labels = ", ".join(f"`{label}`" for label in one.labels) or "-"
        yield f"`{one.name}`", one.instrument, f"`{one.unit}`", labels, f"`{one.prometheus}`", one.meaning


def write(page: Path = PAGE) -> None:
    page.write_text(printed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
