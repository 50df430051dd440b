"""Faults: each kind is left out of some histories, and limits are drawn so low that they matter."""

from random import Random

from bus import Limits
from bus.testing import Faults
from bus.testing.simulation.faults import KEPT, SHARING, short_leases, tight_limits


def test_without_faults_every_rate_is_zero() -> None:
    none = Faults.none()
    assert not any(getattr(none, name) for name in none.__struct_fields__)


def test_each_kind_is_in_some_histories_and_missing_in_others() -> None:
    drawn = [Faults().drawn(Random(seed)) for seed in range(40)]
    for name in KEPT:
        assert {getattr(one, name) for one in drawn} == {getattr(Faults(), name)}
    for name in set(Faults().__struct_fields__) - set(KEPT):
        rates = {getattr(one, name) for one in drawn}
        assert rates == ({0} if name in SHARING else {0, getattr(Faults(), name)})
    assert drawn == [Faults().drawn(Random(seed)) for seed in range(40)]


def test_those_of_shared_stores_are_drawn_apart() -> None:
    alone = Faults().drawn(Random(1))
    drawn = [Faults().drawn_sharing(alone, Random(seed)) for seed in range(40)]
    for name in Faults().__struct_fields__:
        rates = {getattr(one, name) for one in drawn}
        assert rates == ({0, getattr(Faults(), name)} if name in SHARING else {getattr(alone, name)})


def test_leases_are_drawn_short_and_nothing_else() -> None:
    given = Limits(residents_max=7)
    drawn = [short_leases(Random(seed), given) for seed in range(20)]
    assert {one.lease_s for one in drawn} == {0.2, 1.0, 4.0}
    assert {one.residents_max for one in drawn} == {7}


def test_limits_are_drawn_low_or_left_as_they_are() -> None:
    given = Limits(query_timeout_s=7.0)
    drawn = [tight_limits(Random(seed), given) for seed in range(60)]
    assert {one.query_timeout_s for one in drawn} == {7.0}
    assert {one.residents_max for one in drawn} == {1, 2, 5, given.residents_max}
    assert {one.batch_commands_max for one in drawn} == {1, 2, 5, given.batch_commands_max}
