"""A short soak: mixed load on SQLite, a projection that fails and is mended, buses that come and go; all is tidy."""

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from bench.soak import Found, faults_of, judged, left_behind, run
from bench.soak_samples import Sample, Trend, most, second_half, trend

EMPTY = Sample(0.0, 50_000.0, 1_000, 10_000, 1, 1, 9, 0.0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_after_rounds_of_everything_at_once_nothing_is_left_and_every_event_is_counted_once(
    tmp_path: Path,
) -> None:
    found = await run(tmp_path, lambda number: number < 4, steps=12, pause_s=0.0, users=12)
    assert faults_of(found) == []
    assert found.stops == 1, "the projection of the second round"
    assert found.passivated > 10
    assert found.events > 100
    said = {code.partition(".")[0] for code in found.outcomes}
    assert {"receipt", "answer", "rejected"} <= said
    # The first round brings what is made once, such as modules that are imported late; the tests' own notes, such as
    # what was logged, are among the rest. Were it only the refusals that are kept, it would be thousands.
    objects = [one.objects for one in found.rounds[1:]]
    assert max(objects) - min(objects) < 500, objects


def rounds(*changes: Mapping[str, float]) -> list[Sample]:
    every = enumerate(({}, *changes))
    return [msgspec.structs.replace(EMPTY, seconds=10.0 * number, **one) for number, one in every]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tasks": 2}, "1 more tasks"),
        ({"threads": 3}, "2 more threads"),
        ({"files": 10}, "1 more files"),
        ({"log_kib": 4.0}, "4 more log_kib"),
    ],
)
def test_what_is_left_after_any_round_is_told(more: dict[str, float], said: str) -> None:
    assert left_behind(rounds({}, {})) == []
    assert left_behind(rounds({}, more, {})) == [f"{said} than before the first round"]


def noise(slope: float, seed: int = 1) -> list[tuple[float, float]]:
    """Memory that wanders, as it does, and grows besides."""
    chance, wandered = random.Random(seed), 0.0
    points = []
    for number in range(30):
        wandered = 0.7 * wandered + chance.gauss(0, 300)
        points.append((300.0 + 10 * number, 50_000 + wandered + slope * 10 * number))
    return points


def test_growth_is_told_from_chance() -> None:
    assert sum([trend(noise(0.0, seed)).grows for seed in range(200)]) <= 6
    assert all(trend(noise(30.0, seed)).grows for seed in range(200))
    assert trend([(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]) == Trend(1.0, 0.0)
    assert not trend([(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]).grows


def test_a_soak_is_met_only_if_nothing_grows_and_nothing_is_left() -> None:
    flat = rounds(*[{"rss_kib": 50_000.0 + number % 2} for number in range(8)])
    grown = rounds(*[{"rss_kib": 50_000.0 + number * 100} for number in range(8)])
    objects = rounds(*[{"objects": 1_000 + number * 10} for number in range(8)])
    for samples, outcomes, met in (
        (flat, {"receipt": 5, "rejected.not-open": 1}, [True, True, True]),
        (grown, {"receipt": 5}, [False, True, True]),
        (objects, {"receipt": 5}, [True, False, True]),
        (rounds({}, {}, {"files": 10}, {}, {}), {"receipt": 5}, [True, True, False]),
        (flat, {"receipt": 5, "outcome-unknown": 1}, [True, True, False]),
    ):
        assert [one.met for one in judged(Found(samples, EMPTY, Counter(outcomes)), 1)] == met
    assert [one.met for one in judged(Found(flat, EMPTY, faults=["something"]), 1)] == [True, True, False]


def test_the_second_half_is_that_of_the_time() -> None:
    samples = rounds(*[{}] * 8)
    assert [one.seconds for one in second_half(samples)] == [40, 50, 60, 70, 80]
    assert most(samples[3], msgspec.structs.replace(EMPTY, files=12)).files == 12
