"""What is drawn for many roots at once is what a sampler would say to each of them."""

import math
import random
from itertools import pairwise

import pytest
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from adapters.otel.drawing import LOW_BITS, Drawing


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9])
def test_as_many_are_recorded_as_the_ratio_says(share: float) -> None:
    drawing = Drawing(TraceIdRatioBased(share).bound, random.Random(1))
    gaps = [drawing.gap() for _ in range(20_000)]
    assert min(gaps) >= 1
    assert sum(gaps) / len(gaps) == pytest.approx(1 / share, rel=0.05)
    # Whether the very next one is recorded does not depend on how long it took before.
    after = [later for gap, later in pairwise(gaps) if gap > 1 / share]
    assert sum(after) / len(after) == pytest.approx(1 / share, rel=0.1)


@pytest.mark.parametrize("share", [0.001, 0.5, 1.0])
def test_ids_are_those_that_the_sampler_takes(share: float) -> None:
    sampler = TraceIdRatioBased(share)
    drawing = Drawing(sampler.bound, random.Random(1))
    ids = {drawing.trace_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    decisions = {sampler.should_sample(None, trace_id, "send Open").decision for trace_id in ids}
    assert decisions == {Decision.RECORD_AND_SAMPLE}
    assert sum([trace_id & LOW_BITS for trace_id in ids]) / 1_000 == pytest.approx(sampler.bound / 2, rel=0.1)


def test_all_and_none_are_known_without_a_draw() -> None:
    assert [Drawing(LOW_BITS + 1).gap() for _ in range(3)] == [1, 1, 1]
    assert Drawing(0).gap() == math.inf
