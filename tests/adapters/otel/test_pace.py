"""The pace of records does not grow with the load, and chooses without regard of what it chooses."""

from adapters.otel.pace import RECORDS_PER_S, Pace


def test_few_are_all_recorded() -> None:
    pace = Pace()
    assert [list(pace.picked(3, second / 10)) for second in range(100)] == [[0, 1, 2]] * 100


def test_many_are_recorded_at_the_pace_and_evenly() -> None:
    pace = Pace()
    for second in range(10):
        picked = [len(pace.picked(100, second + turn / 500)) for turn in range(500)]
        if second:
            # The first second has to learn how much comes.
            assert RECORDS_PER_S * 0.9 <= sum(picked) <= RECORDS_PER_S * 1.1
            assert max(picked) == 1


def test_what_is_not_reached_in_one_batch_is_picked_in_a_later_one() -> None:
    pace = Pace()
    first = pace.picked(100_000, 0.0)
    assert first.step == 1 + 100_000 // RECORDS_PER_S
    left = first[-1] + first.step - 100_000
    assert list(pace.picked(left, 0.1)) == []
    assert len(pace.picked(1, 0.2)) == 1


def test_a_quiet_second_brings_everything_back() -> None:
    pace = Pace()
    pace.picked(100_000, 0.0)
    assert len(pace.picked(50, 5.0)) == 50
