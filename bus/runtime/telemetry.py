"""Telemetry that observes nothing: the default, at the price of an empty call."""


class NoTelemetry:
    """Satisfies the port and does nothing."""

    def context(self) -> str | None:
        return None

    def committed(self, commands: int, events: int, seconds: float) -> None:
        pass

    def projected(self, projection: str, events: int, seconds: float) -> None:
        pass

    def queried(self, query: str, seconds: float, code: str | None) -> None:
        pass
