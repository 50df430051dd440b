"""Statistics: the report of a shutdown."""

from bus import ShutdownReport


def test_a_report_is_clean_when_nothing_was_left() -> None:
    assert ShutdownReport(commands=0, projections={}).is_clean
    assert not ShutdownReport(commands=1, projections={}).is_clean
    assert not ShutdownReport(commands=0, projections={"board": 3}).is_clean
