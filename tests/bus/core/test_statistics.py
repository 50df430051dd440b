"""Statistics: the report of a shutdown, and the hit rate of a cache."""

from bus import CacheStatistics, ShutdownReport


def test_a_report_is_clean_when_nothing_was_left() -> None:
    assert ShutdownReport(commands=0, projections={}).is_clean
    assert not ShutdownReport(commands=1, projections={}).is_clean
    assert not ShutdownReport(commands=0, projections={"board": 3}).is_clean


def test_the_hit_rate_is_that_of_all_that_was_asked() -> None:
    assert CacheStatistics(query="GetBoard", hits=3, misses=1, answers=1).hit_rate == 0.75
    assert CacheStatistics(query="GetBoard", hits=0, misses=0, answers=0).hit_rate == 0
