"""Setbacks: what went wrong with one projection since something was committed; told, counted and waited out."""

from datetime import datetime
from typing import Any

import anyio
import anyio.lowlevel

from bus.core.reports import Failed
from bus.read.folding import Poisoned
from bus.read.parking import Failure
from bus.read.services import Services
from bus.runtime.log import log, named, told
from bus.runtime.supervisor import backoff_s


class Setbacks:
    """Those of one projector. Events that fail are counted until something is committed or they are parked."""

    def __init__(self, services: Services, projection: str) -> None:
        self._services = services
        self._limits = services.limits
        self._projection = projection
        self.last_error: str | None = None
        self.retries = 0
        """Failed attempts in all, whatever was committed since."""
        self.until: int | None = None
        """Position before an event that failed: what comes up to there is sound, and is committed first."""
        self.losses = 0
        """How often the lease was found lost by a commit."""
        self._poisonings = 0
        """How often the projection raised at the next event."""
        self._poisoned_at: datetime | None = None
        """When it did so first."""
        self._outages = 0
        """How often a store failed."""

    @property
    def attempts(self) -> int:
        """Failed attempts at the next batch so far."""
        return self._poisonings + self._outages

    def forget(self) -> None:
        """Somebody else may have got further meanwhile."""
        self.until = None
        self._poisonings = self._outages = 0

    def overcome(self) -> None:
        """Something was committed."""
        self.forget()
        self.losses = 0
        self.last_error = None

    def poisoned(self, poison: Poisoned, position: int) -> Failure | None:
        """The projection raised, `position` being committed; returns why the event is to be given up, if so."""
        if poison.position > position + 1:
            # What comes before the event is committed before the event is tried again.
            self.until = poison.position - 1
            return None
        now = self._services.clock.now()
        self.until = None
        self._poisonings += 1
        self.retries += 1
        self.last_error = str(poison)
        if self._poisonings == 1:
            self._poisoned_at = now
        failed = Failed("projection", self._projection, self._poisonings, poison, poison.recorded)
        self._services.telemetry.failed(failed)
        if self._poisonings >= self._limits.projection_attempts_max:
            return Failure(poison.position, str(poison), self._poisonings, self._poisoned_at or now, now)
        log.warning("projection failed and is retried", **self._facts(poison, attempt=self._poisonings))
        return None

    def parked(self, poison: Poisoned) -> None:
        """The event was given up, and what comes after it has failed at nothing yet."""
        log.warning("events are parked", **self._facts(poison, keys=len(poison.keys), attempts=self._poisonings))
        self._poisonings = 0

    def unavailable(self, error: Exception, position: int) -> None:
        """A store failed, not the projection."""
        self._outages += 1
        self.retries += 1
        self.last_error = repr(error)
        log.warning(
            "projection waits for its store",
            projection=self._projection,
            position=position,
            attempt=self._outages,
            error=told(error),
        )
        self._services.telemetry.failed(Failed("projection-store", self._projection, self._outages, error))

    async def pause(self) -> None:
        """Waits, the longer the more often something failed."""
        # Where a store is down as well, that is waited for.
        if self.until is not None and not self._outages:
            await anyio.lowlevel.checkpoint()
            return
        limits, attempt = self._limits, max(1, self.attempts, self.losses)
        await anyio.sleep(backoff_s(limits.projection_backoff_s, limits.projection_backoff_max_s, attempt))

    def _facts(self, poison: Poisoned, **counts: int) -> dict[str, Any]:
        """What an entry of the log says of it."""
        place = {"projection": self._projection, "position": poison.position}
        return {**place, **counts, "error": told(poison.__cause__ or poison), **named(poison.recorded)}
