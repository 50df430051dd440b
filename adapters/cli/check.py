"""Check: says what is wrong with an application before it runs, for people and for a build."""

import sys
from collections.abc import Collection
from contextlib import redirect_stdout
from pathlib import Path

import msgspec

from adapters.cli.applications import DEMO, load_application
from adapters.cli.failures import Refused
from adapters.cli.findings import Finding, raised_at
from adapters.cli.golden import golden_findings
from adapters.cli.inspecting import inspected
from bus import Application, DefinitionError


class Checked(msgspec.Struct, frozen=True):
    """What was found, as JSON has it."""

    app: str
    findings: list[Finding]


def check(*, app: str = DEMO, golden: Path | None = None, json: bool = False) -> int:
    """Check an application before it runs; the exit code is 1 where something is to be mended.

    Every command has one decider, every event a stored name and an unbroken path from its earlier versions, every
    projection says what becomes of it at an event that it cannot process, every query has one handler. With --golden
    every event ever stored is read, and none has changed without a new version.

    Parameters
    ----------
    app
        The application, as MODULE:NAME; modules of the current directory are found. By default the demo's.
    golden
        The folder that `golden` fills, such as tests/golden.
    json
        Write the findings as one JSON object, and nothing else, to standard output.
    """
    with redirect_stdout(sys.stderr):
        application, findings = _loaded(app)
        if application is not None:
            findings += inspected(application, app.partition(":")[0])
            if golden is not None:
                findings += golden_findings(application, golden)
    if json:
        print(msgspec.json.encode(Checked(app, findings)).decode())
    else:
        for finding in findings:
            print(finding.printed())
        print(f"{app}: {_summary(application, findings)}")
    return 1 if findings else 0


def _loaded(app: str) -> tuple[Application | None, list[Finding]]:
    """The application, or why there is none: the first thing that the bus refuses ends the building of it."""
    try:
        return load_application(app), []
    except Refused as refused:
        error = refused.__cause__
        if not isinstance(error, TypeError):
            raise
        rule, message = "definition", str(error)
        if not isinstance(error, DefinitionError) and "on_poison" in message:
            rule = "projection-without-poison-policy"
            message = (
                "a projection does not say what becomes of it at an event it cannot process: "
                "write on_poison=STOP or on_poison=PARK"
            )
        return None, [Finding(rule, app, message, raised_at(error))]


def _summary(application: Application | None, findings: list[Finding]) -> str:
    if application is None:
        return "it cannot be built; mend that, there may be more"
    if findings:
        return f"{len(findings)} to mend"
    parts: dict[str, Collection[object]] = {
        "commands": application.decider_of,
        "events": application.schema.by_name,
        "upcasters": application.upcasters,
        "projections": application.projections,
        "queries": application.handler_of,
    }
    return f"nothing to mend in {', '.join(f'{len(all_of)} {name}' for name, all_of in parts.items())}"
