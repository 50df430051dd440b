"""Live: the departure board of one airport, as the bus answers it while flights play."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, nullcontext
from datetime import datetime
from typing import Final

import anyio
import msgspec
from rich.console import Console
from rich.live import Live

from adapters.cli import tables
from adapters.flights import Played, carrier_names
from adapters.flights.zones import zone
from bus import Answer, Bus, BusError
from domain.flight import Airport, DepartFlight, ScheduleFlight, Status
from readmodels.departures import Departure, GetDepartures

LINES_MAX: Final = 20
ASKED: Final = 200
"""Flights that are asked for. The board shows some of them, and only near their end it has to ask for later ones."""
AROUND: Final = 9
"""Lines of a terminal that the board's frame, its text and the next prompt take."""


class Frame(msgspec.Struct, frozen=True):
    """What is seen at one moment."""

    airport: Airport
    board: Sequence[Departure]
    """The lines shown."""
    position: int
    """Up to which the board tells everything."""
    behind: int
    """Events that are recorded after that, and therefore not on the board yet."""
    at: datetime | None
    """How far the flights are played; None before the first."""
    flights_per_s: float
    """Flights that were played to their ends, by the second of real time."""

    def words(self) -> str:
        """The line below the board."""
        played = "" if self.at is None else f"{tables.clock(self.at, zone(self.airport))}, "
        return f"{played}position {self.position:,}, {self.flights_per_s:,.0f} flights/s, {self.behind:,} events behind"

    def line(self) -> str:
        """All of it in one line, for what is no terminal."""
        counts = Counter(line.status.value for line in self.board)
        board = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
        return f"{self.airport} {self.words()}: {board or 'no flights yet'}"


def shown(board: Sequence[Departure], lines: int) -> int:
    """Where on a board the lines begin that are shown: about as many that have left as that have not.

    A flight that waits while later ones leave is seen until so many have.
    """
    left = max([place for place, line in enumerate(board) if line.status is not Status.SCHEDULED], default=-1)
    return max(0, min(left + 1 - lines // 2, len(board) - lines))


class LiveBoard:
    """Follows the bus's answers, and shows each; when the flights shown have nearly all left it asks for later ones."""

    def __init__(self, bus: Bus, airport: Airport, draw: Callable[[Frame], None], lines: int) -> None:
        self._bus = bus
        self._draw = draw
        self._lines = lines
        self._airport = airport
        self._since: datetime | None = None
        self._began_s = anyio.current_time()
        self._at: datetime | None = None
        self._ended = 0

    def played(self, chunk: Sequence[Played]) -> None:
        """These commands were carried out."""
        self._at = chunk[-1].at
        self._ended += sum([not isinstance(one.command, ScheduleFlight | DepartFlight) for one in chunk])

    async def follow(self) -> None:
        """Shows answers until it is cancelled; not more of them than one watch would give."""
        while True:
            async with aclosing(self._bus.watch(self._query())) as answers:
                async for answer in answers:
                    await self._show(answer)
                    if self._moves_on(answer.value):
                        break
            await anyio.sleep(self._bus.limits.watch_interval_s)

    async def finish(self) -> None:
        """Shows the answer of this moment."""
        while True:
            async with aclosing(self._bus.watch(self._query())) as answers:
                answer = await anext(answers)
            if not self._moves_on(answer.value):
                break
        await self._show(answer)

    def _query(self) -> GetDepartures:
        return GetDepartures(airport=self._airport, limit=ASKED, since=self._since)

    def _moves_on(self, board: Sequence[Departure]) -> bool:
        """Whether later flights have to be asked for."""
        first = shown(board, self._lines)
        if len(board) < ASKED or first < ASKED // 2 or board[first].departs_at == self._since:
            return False
        self._since = board[first].departs_at
        return True

    async def _show(self, answer: Answer[list[Departure]]) -> None:
        first = shown(answer.value, self._lines)
        frame = Frame(
            airport=self._airport,
            board=answer.value[first : first + self._lines],
            position=answer.position,
            behind=max(0, self._bus.statistics().position - answer.position),
            at=self._at,
            flights_per_s=self._ended / max(anyio.current_time() - self._began_s, 1e-3),
        )
        # Whoever reads slowly, or not at all, keeps the board waiting, but not the bus.
        await anyio.to_thread.run_sync(self._draw, frame)


@asynccontextmanager
async def live_board(bus: Bus, airport: Airport, out: Console, stop: anyio.Event) -> AsyncGenerator[LiveBoard]:
    """A board that is shown while the block runs, and once more at its end: on a terminal in its place, else by lines.

    Sets `stop` where it cannot go on. Raises `BusError`, or `OSError` where the output cannot be written, at the end.
    """
    failures: list[Exception] = []
    screen = _screen(out)
    with screen:
        if isinstance(screen, Live):
            # Whoever ends the program at once shall have a cursor.
            out.show_cursor(True)
            draw, lines = _drawing(screen), max(1, min(LINES_MAX, out.height - AROUND))
        else:
            draw, lines = _writing(out), LINES_MAX
        board = LiveBoard(bus, airport, draw, lines)

        async def follow() -> None:
            try:
                await board.follow()
            except (BusError, OSError) as error:
                failures.append(error)
                stop.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            try:
                yield board
            except Exception as error:
                # Kept out of the group, which would wrap it.
                failures.append(error)
            tasks.cancel_scope.cancel()
        if failures:
            raise failures[0]
        await board.finish()


def can_move(out: Console) -> bool:
    """Whether a board can stay in its place there."""
    return out.is_terminal and not out.is_dumb_terminal


def _screen(out: Console) -> AbstractContextManager[object]:
    return Live(console=out, auto_refresh=False, vertical_overflow="crop") if can_move(out) else nullcontext()


def _drawing(screen: Live) -> Callable[[Frame], None]:
    def draw(frame: Frame) -> None:
        board = tables.live_board(frame.airport, frame.board, zone(frame.airport), carrier_names(), frame.words())
        screen.update(board, refresh=True)

    return draw


def _writing(out: Console) -> Callable[[Frame], None]:
    def write(frame: Frame) -> None:
        # Not by the console, which ends the program where nobody reads any more.
        out.file.write(f"{frame.line()}\n")
        out.file.flush()

    return write
