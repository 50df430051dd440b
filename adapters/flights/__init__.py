"""Flight records: reads the files of the US Bureau of Transportation Statistics and plays them as commands."""

from adapters.flights.files import InputError, UnusableRow
from adapters.flights.playing import Played, commands
from adapters.flights.records import FlightRecord, FlightRecords, read_flights
from adapters.flights.zones import carrier_names

__all__ = [
    "FlightRecord",
    "FlightRecords",
    "InputError",
    "Played",
    "UnusableRow",
    "carrier_names",
    "commands",
    "read_flights",
]
