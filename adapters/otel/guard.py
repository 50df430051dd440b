"""Guard: what samplers, processors and readers raise is no business of the bus."""

import logging


class Guard:
    """Tells of each type of exception once, since the next is likely the same and there may be one a command."""

    def __init__(self) -> None:
        self._told: set[type[Exception]] = set()
        self._log = logging.getLogger("doubledecker")

    def complain(self, error: Exception) -> None:
        """Logs the first of its type, with where it was raised."""
        if type(error) not in self._told:
            self._told.add(type(error))
            name = type(error).__name__
            self._log.error("telemetry raised %s; the like is not logged again", name, exc_info=error)
