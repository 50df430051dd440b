"""The versions remembered are the most recent, and no more than the limit."""

from adapters.postgres.heads import Heads


def test_the_most_recent_are_remembered_and_no_more_than_the_limit() -> None:
    heads = Heads(10)
    for number in range(100):
        heads.update({f"s-{number}": number}, (number, f"c{number}"))
        assert heads.get(f"s-{number}") == number
        assert heads.anchor == (number, f"c{number}")
    assert sum(heads.get(f"s-{number}") is not None for number in range(100)) <= 11


def test_what_is_cleared_is_not_known() -> None:
    heads = Heads(10)
    heads.update({"a-1": 1}, (1, "c1"))
    heads.clear()
    assert heads.get("a-1") is None
    assert heads.anchor is None


def test_of_appends_that_were_under_way_together_the_later_one_stays_the_anchor() -> None:
    heads = Heads(10)
    heads.update({"b-1": 1}, (2, "c2"))
    heads.update({"a-1": 1}, (1, "c1"))
    assert heads.anchor == (2, "c2")
    assert (heads.get("a-1"), heads.get("b-1")) == (1, 1)


def test_unknown_is_a_version_that_is_not_the_last_one_remembered() -> None:
    heads = Heads(4)
    heads.update({"a-1": 1, "b-1": 2, "c-1": 3}, (6, "c6"))
    heads.update({"d-1": 1}, (7, "c7"))
    wanted = {"a-1": 1, "b-1": 1, "c-1": 3, "d-1": 1, "e-1": 0, "f-1": 1}
    assert heads.unknown(wanted) == {"b-1": 1, "f-1": 1}
