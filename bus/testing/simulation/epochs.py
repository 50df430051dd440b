"""Epochs: who may write which views, by the leases that a shared view store has granted."""

import math
from collections.abc import Iterable

import msgspec

from bus.core.stored import Checkpoint, Claim, ViewTable
from bus.testing.simulation.model import Violated


class Grant(msgspec.Struct):
    """A lease as it was granted last."""

    claim: Claim
    holder: str = ""
    """The life that it belongs to; empty where nobody has claimed it yet."""
    until: float = -math.inf
    """When it lapses, on the store's clock."""


class Epochs:
    """Each table's last grant. Raises `Violated` where a store grants, or takes, what it must not."""

    def __init__(self) -> None:
        self._last: dict[ViewTable, Grant] = {}
        self._owners: dict[tuple[ViewTable, int], str] = {}

    def owner(self, table: ViewTable) -> str:
        """Who holds the table's lease, as the store names it; empty where nobody does."""
        last = self._last.get(table)
        return "" if last is None or last.until == -math.inf else last.claim.owner

    def lapsed(self, table: ViewTable) -> None:
        """The lease ends before its time: it was given up, or the store's clock has leapt."""
        if (last := self._last.get(table)) is not None:
            last.until = -math.inf

    def forget(self, table: ViewTable) -> None:
        """The table is no longer there; one of the same name is nobody's, and comes to epochs that were never there."""
        if (last := self._last.get(table)) is not None:
            self._last[table] = Grant(Claim("", last.claim.epoch + 1, Checkpoint()))

    def claimed(self, table: ViewTable, claim: Claim, life: str, until: float | None, now: float) -> bool:
        """Notes the answer to a claim of `life`, with `until` None where the lease is another's; whether it is new."""
        last = self._last.get(table) or Grant(Claim("", 0, claim.checkpoint))
        what = f"epoch {claim.epoch} of the views of {table.projection!r}"
        if claim.epoch < last.claim.epoch:
            raise Violated(f"{what} was granted after epoch {last.claim.epoch}")
        if self._owners.setdefault((table, claim.epoch), claim.owner) != claim.owner:
            raise Violated(f"{what} was granted to two owners")
        is_new = claim.epoch > last.claim.epoch
        if is_new and now < last.until:
            raise Violated(f"{what} was granted while {last.holder} held epoch {last.claim.epoch}")
        if until is not None:
            self._last[table] = Grant(claim, life, until)
        return is_new

    def committed(self, table: ViewTable, epoch: int, life: str) -> None:
        """Notes that a life has changed a table's views under that epoch."""
        last = self._last.get(table)
        holder, present = ("nobody", 0) if last is None else (last.holder or "nobody", last.claim.epoch)
        if (epoch, life) != (present, holder):
            raise Violated(
                f"{life} changed the views of {table.projection!r} in epoch {epoch}, although {holder} holds them in "
                f"epoch {present}"
            )

    def holders(self, tables: Iterable[ViewTable]) -> dict[str, str]:
        """The life that each projection's lease was granted to last."""
        last = {table.projection: self._last.get(table) for table in tables}
        return {name: one.holder for name, one in last.items() if one is not None and one.holder}
