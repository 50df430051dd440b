"""Looks at leases that overtake each other: what was found later stays, whatever arrives after it."""

from collections.abc import Mapping, Sequence

import anyio
import msgspec
import pytest

from bus import Bus, Limits
from bus.core.stored import Claim, ViewTable
from bus.read.leases import _newest
from tests.bus.read.test_leases import Place
from tests.support.building import at, projector_of, services_of
from tests.support.ledger import LEDGER, Deposit, balances
from tests.support.views import ToldViewStore


class Overtaken(ToldViewStore):
    """Lets one answer to a claim wait."""

    gate: anyio.Event | None = None

    async def claim(self, tables: Sequence[ViewTable], owner: str, lease_s: float) -> Mapping[ViewTable, Claim]:
        gate, self.gate = self.gate, None
        claims = await super().claim(tables, owner, lease_s)
        if gate is not None:
            await gate.wait()
        return claims


async def test_what_a_look_has_found_is_not_undone_by_one_that_began_before_it() -> None:
    place, limits = Place(), Limits(lease_s=1_000, poll_interval_s=1_000)
    views = Overtaken(place.kept)
    one, other = place.bus(limits=limits)[0], Bus(LEDGER, event_store=place.events, view_store=views, limits=limits)
    async with one, other, anyio.create_task_group() as tasks:
        await one.wait_projected(await one.send(Deposit("a")))
        leases = other._opened().read._leases
        await leases.look()
        progress = other._opened().read.progress["balances"]
        views.gate = late = anyio.Event()
        tasks.start_soon(leases.look)
        await anyio.wait_all_tasks_blocked()
        await one.wait_projected(await one.send(Deposit("a")))
        await leases.look()
        assert progress.position == 2
        late.set()
        await anyio.wait_all_tasks_blocked()
        assert progress.position == 2


@pytest.mark.parametrize(("found", "known", "expected"), [(1, 1, 2), (2, 1, 2), (3, 1, 3), (0, 1, 0)])
async def test_views_are_where_the_store_says_save_for_what_was_learned_while_it_was_asked(
    found: int, known: int, expected: int
) -> None:
    projector = projector_of(services_of(), balances())
    projector.progress.follow(2)
    assert _newest(projector, at(found), known) == msgspec.structs.replace(at(found), position=expected)
