"""Asking: leaves a request for whoever runs a projection, waits for the answer, and prints it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import anyio

from adapters.cli import stores
from adapters.cli.app import in_one_line
from adapters.cli.failures import Refused
from bus import Request
from bus.core.letters import Action
from bus.core.stored import ViewTable

if TYPE_CHECKING:
    from adapters.cli.stores import ViewDesk, ViewStore

LOOK_INTERVAL_S: Final = 0.1
"""How often it is looked whether a request was answered."""


def desk_url(store: str | None, views: str | None) -> str:
    """Where the views are, of stores as the user names them; raises `Refused` where that is nowhere."""
    if views is None and store is None:
        raise Refused("name the stores: --store sqlite:///flights.db, or --views sqlite:///flights-views.db")
    url = views if views is not None else stores.views_beside(str(store))
    if url == "memory:":
        raise Refused("memory: holds nothing when the program starts; name a store that is kept")
    return url


def request_of(
    table: ViewTable,
    action: Action,
    *,
    key: str | None = None,
    position: int | None = None,
    reason: str = "",
    to_drop: tuple[int, int | None] | None = None,
) -> Request:
    """A request of now, to whoever runs the projection in the table's version."""
    return Request(
        id=str(uuid4()),
        projection=table.projection,
        version=table.version,
        action=action,
        key=key,
        position=position,
        reason=reason,
        asked_at=datetime.now(UTC),
        to_drop=to_drop,
    )


async def ask(desk: "ViewDesk | ViewStore", request: Request, wait_s: float) -> int:
    """Asks, waits, and prints what became of it; the exit code is 1 where it was not done, or not yet."""
    await desk.ask(request)
    found: Request | None = None
    with anyio.move_on_after(wait_s):
        while found is None or found.answered_at is None:
            await anyio.sleep(LOOK_INTERVAL_S)
            found = await desk.asked(request.id)
    name = f"{request.projection} version {request.version}"
    if found is None or found.answered_at is None:
        print(
            f"{name}: nobody has carried it out yet, since no bus runs the projection, or it is stopped; whoever runs "
            "it next will"
        )
        return 1
    print(f"{name}: {in_one_line(found.answer)}")
    return 0 if found.is_done else 1


def unknown(desk: "ViewDesk | ViewStore", projection: str, known: list[str]) -> Refused:
    """For a projection that has no views there."""
    there = f"; it has those of {', '.join(dict.fromkeys(known))}" if known else ""
    return Refused(f"{desk.url} has no views of a projection {projection!r}{there}")
