"""The pace of records does not grow with the load, and chooses without regard of what it chooses."""

import itertools

from adapters.otel.pace import BURST, RECORDS_PER_S, Pace


def test_few_are_all_recorded() -> None:
    pace = Pace()
    assert [list(pace.picked(2, second / 9)) for second in range(100)] == [[0, 1]] * 100


def test_many_are_recorded_at_the_pace_and_evenly() -> None:
    pace = Pace()
    for second in range(10):
        picked = [len(pace.picked(100, second + turn / 500)) for turn in range(500)]
        if second:
            # The first second has to learn how much comes.
            assert RECORDS_PER_S * 0.9 <= sum(picked) <= RECORDS_PER_S * 1.1
            assert max(picked) == 1


def test_a_second_that_brings_more_than_was_expected_records_no_more_than_a_burst() -> None:
    pace = Pace()
    assert pace.picked(100_000, 0.0) == range(BURST)
    assert sum(len(pace.picked(100, 0.1 + turn / 1_000)) for turn in range(500)) == 0
    assert len(pace.picked(100_000, 1.1)) == 100_000 // (1 + 150_000 // RECORDS_PER_S) + 1


def test_what_is_not_reached_in_one_batch_is_picked_in_a_later_one() -> None:
    pace = Pace()
    pace.picked(2_000, 0.0)
    stride = 1 + 2_000 // RECORDS_PER_S
    picked = [index for index in range(100) if pace.picked(1, 1.0 + index / 1_000)]
    assert [later - earlier for earlier, later in itertools.pairwise(picked)] == [stride] * (len(picked) - 1)
    assert len(picked) == 100 // stride + 1


def test_a_quiet_second_brings_everything_back() -> None:
    pace = Pace()
    pace.picked(100_000, 0.0)
    assert len(pace.picked(RECORDS_PER_S, 5.0)) == RECORDS_PER_S
