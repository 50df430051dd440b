"""Traces reach a real Jaeger, whole."""

import json
from typing import Any

import anyio
import pytest

from adapters.cli import run
from adapters.otel.otlp import sending_to
from bus import Bus
from tests.support import jaeger
from tests.support.ledger import LEDGER, Deposit

SERVICE = "doubledecker-demo"


@pytest.fixture(scope="module")
def server() -> Any:
    program = jaeger.program()
    if program is None:
        pytest.skip(f"no Jaeger: name its program in {jaeger.GIVEN}, or run python -m tests.support.jaeger")
    with jaeger.JaegerServer(program) as running:
        yield running


def test_the_demo_shows_one_trace_from_command_to_every_view(
    server: jaeger.JaegerServer, tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    store = f"sqlite:///{tmp_path}/flights.db"
    assert run(["demo", "--json", "--limit", "20", "--store", store, "--otlp", server.otlp]) == 0
    summary = json.loads(capsys.readouterr().out)
    scheduled = server.traces(SERVICE, "send ScheduleFlight", at_least=20)
    departed = server.traces(SERVICE, "send DepartFlight", at_least=20)
    assert (len(scheduled), len(departed)) == (20, 20)
    assert summary["trace_id"] in {trace["traceID"] for trace in scheduled}
    for trace in scheduled:
        assert parents(trace) == way("ScheduleFlight", "departures", "punctuality", "aircraft-days", "statuses") | {
            "recover flight": ["process ScheduleFlight"]
        }
    for trace in departed:
        found = parents(trace)
        # It may have waited for the recovery that the command before it caused.
        assert found.pop("recover flight", ["process DepartFlight"]) == ["process DepartFlight"]
        assert found == way("DepartFlight", "departures", "aircraft-days", "statuses")
        tags = {tag["key"]: tag["value"] for span in trace["spans"] for tag in span["tags"]}
        assert tags["doubledecker.aggregate.category"] == "flight"
        assert tags["doubledecker.outcome"] == "ok"


def parents(trace: Any) -> dict[str, list[str]]:
    """The names of each span's parents by its own."""
    names = {span["spanID"]: span["operationName"] for span in trace["spans"]}
    assert len(set(names.values())) == len(names)
    return {
        names[span["spanID"]]: [names[reference["spanID"]] for reference in span["references"]]
        for span in trace["spans"]
    }


def way(command: str, *projections: str) -> dict[str, list[str]]:
    """From a command to the views that it touches."""
    send, process = f"send {command}", f"process {command}"
    projected = {f"project {name}": [send] for name in projections}
    return {send: [], process: [send], "commit": [process], **projected}


def test_as_many_are_sent_as_was_asked_for(server: jaeger.JaegerServer) -> None:
    for sampled, traces in ((1.0, 1), (0.0, 0)):
        service = f"share-{sampled}"

        async def deposit(service: str = service, sampled: float = sampled) -> None:
            with sending_to(server.otlp, service=service, sampled=sampled) as telemetry:
                async with Bus(LEDGER, telemetry=telemetry) as bus:
                    await bus.send(Deposit("a"))

        anyio.run(deposit)
        assert len(server.traces(service, "send Deposit", at_least=traces)) == traces


def test_what_is_no_url_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--limit", "1", "--store", "memory:", "--otlp", "localhost:4318"]) == 2
    assert "write http://host:4318" in capsys.readouterr().err
