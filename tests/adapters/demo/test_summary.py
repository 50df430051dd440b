"""A summary in words says what was played, and loudly what is wrong."""

from msgspec.structs import replace

from adapters.demo.summary import Summary, sentences

FINE = Summary(
    input="week.csv",
    flights=2,
    commands=6,
    rejected=0,
    rejected_by_code={},
    duplicates=0,
    events=6,
    by_event={"flight-scheduled": 2},
    by_status={"landed": 2},
    rows_unusable=0,
    unusable=[],
    seconds=0.5,
    commands_per_second=12.0,
    store="memory:",
    views="memory:",
    event_store_events_before=0,
    event_store_events=6,
    views_compared=4,
    views_match=True,
    projection_lag_events=0,
    faults=[],
    nothing_lost=True,
)


def test_a_run_is_told_in_figures_and_with_its_proof() -> None:
    text = "\n".join(sentences(FINE))
    assert "2 flights played as 6 commands" in text
    assert "Nothing is lost: 6 events" in text
    assert "Traces" not in text


def test_what_is_wrong_is_not_overlooked() -> None:
    assert "SOMETHING IS WRONG" in "\n".join(sentences(replace(FINE, nothing_lost=False)))


def test_a_trace_is_named_where_traces_were_sent() -> None:
    assert "that of one command is abc." in sentences(replace(FINE, trace_id="abc"))[-1]


def test_what_is_parked_is_no_part_of_the_proof_and_is_told() -> None:
    text = "\n".join(sentences(replace(FINE, dead_letters=2)))
    assert "all 4 views equal a fold of those that are not parked; 2 are, and wait for a retry." in text


def test_an_interrupted_run_says_what_is_left() -> None:
    assert "It was interrupted: 5 commands are left" in "\n".join(sentences(replace(FINE, commands_left=5)))
