"""docs/telemetry.md says what the code emits, and dashboard and alerts ask for nothing else."""

import ast
import json
import re

import pytest

from adapters.otel.declared import METRICS
from tests.architecture import tree
from tests.architecture.telemetry import PAGE, printed

OBSERVABILITY = tree.ROOT / "docs" / "observability"
_SERIES = re.compile(r"\bdoubledecker_\w+")


def test_the_tables_are_printed_from_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == printed(text), "print them anew: python -m tests.architecture.telemetry"


@pytest.mark.parametrize("file", ["grafana-dashboard.json", "prometheus-alerts.yaml"])
def test_every_metric_that_is_asked_for_exists(file: str) -> None:
    series: dict[str, set[str]] = {}
    for metric in METRICS:
        parts = ("_bucket", "_sum", "_count") if metric.instrument == "histogram" else ("",)
        series |= {f"{metric.prometheus}{part}": {*metric.labels, "le"} for part in parts}
    text = (OBSERVABILITY / file).read_text(encoding="utf-8")
    asked = _SERIES.findall(text)
    assert len(asked) > 4
    assert set(asked) <= set(series)
    for name, labels in re.findall(r"\b(doubledecker_\w+)\{([^}]*)\}", text.replace('\\"', '"')):
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)) <= series[name], name


def test_labels_that_are_grouped_by_exist() -> None:
    labels = {label for metric in METRICS for label in metric.labels} | {"le"}
    for file in OBSERVABILITY.iterdir():
        for group in re.findall(r"\bby \(([^)]*)\)", file.read_text(encoding="utf-8")):
            assert {label.strip() for label in group.split(",")} <= labels, file.name


def test_every_entry_of_the_log_is_in_the_guide_with_its_level() -> None:
    said: set[tuple[str, str]] = {("info", "bus closed"), ("warning", "bus closed with work left")}
    for path in (tree.ROOT / "bus").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(ast.Attribute(ast.Name("log"), level), [ast.Constant(text), *_]):
                    said.add(("error" if level == "exception" else level, str(text)))
                case _:
                    pass
    text = PAGE.read_text(encoding="utf-8")
    told = {
        (level, entry)
        for level, entries in re.findall(r"^\| (debug|info|warning|error) \| (.*) \|$", text, re.MULTILINE)
        for entry in re.findall(r"`([^`]+)`", entries)
    }
    assert told == said


def test_the_dashboard_shows_something_in_every_panel() -> None:
    dashboard = json.loads((OBSERVABILITY / "grafana-dashboard.json").read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 8
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert all(target["expr"] for target in panel["targets"])
