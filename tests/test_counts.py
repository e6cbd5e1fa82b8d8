"""Closed forms against what their operators come to, one by one, while a run is measured."""

import msgspec
import pytest
import torch

from harness import Call, Cost, Workload
from harness.check.judge import check_counts
from harness.measure.devices import base as device
from harness.measure.pool import WorkerPool
from harness.measure.selection import CaseTracer
from harness.records import Answer, Case, Result
from tests import made_up, simulated


class Product(Workload):
    """Two products of 8 x 8; what it says of them may be wrong."""

    said = 2 * 2 * 8**3

    def cost(self) -> Cost:
        return Cost(flops=self.said, bytes_read=1, bytes_written=1, memory_bytes=1)

    def prepare(self, device: torch.device) -> Call:
        a = torch.randn(8, 8, device=device)
        return lambda: a @ a @ a


class WrongProduct(Product):
    said = 2 * 8**3


class Untraceable(Product):
    def prepare(self, device: torch.device) -> Call:
        a = torch.randn(8, 8, device=device)
        return lambda: a * float(a.sum())


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> CaseTracer:
    monkeypatch.setattr(device, "opened", lambda *_: simulated.Simulated())
    return CaseTracer(WorkerPool("simulated", 1, lambda _: None, simulated.InProcess), 60.0)


def foreseen(tracer: CaseTracer, workload: Workload) -> Case:
    return tracer.of(workload, workload.describe("tests"))


def verdicts(case: Case) -> list[Answer]:
    run = made_up.run((Result(case, made_up.measurement(1e-3)),))
    return [verdict.answer for verdict in check_counts(run)]


def test_a_closed_form_that_is_right_holds_and_stays_the_cost(tracer: CaseTracer) -> None:
    case = foreseen(tracer, Product())

    assert case.cost == Product().cost()
    assert case.trace is None
    assert case.counted is not None
    assert case.counted.flops == 2048
    assert verdicts(case) == [Answer.HOLDS]


def test_one_that_is_wrong_fails_with_both_numbers(tracer: CaseTracer) -> None:
    case = foreseen(tracer, WrongProduct())
    (verdict,) = check_counts(made_up.run((Result(case, made_up.measurement(1e-3)),)))

    assert verdict.answer is Answer.FAILS
    assert "1,024 FLOPs in closed form, 2,048 by the trace" in verdict.reason


def test_what_cannot_be_traced_keeps_its_word_and_is_not_judged(tracer: CaseTracer) -> None:
    case = foreseen(tracer, Untraceable())

    assert (case.cost, case.counted) == (Untraceable().cost(), None)
    assert verdicts(case) == []
    assert tracer.failure(case.id) is None


def test_masks_are_ignored_on_both_sides() -> None:
    """Whether a mask is known depends on the backend; that pairs are counted does not."""
    said = Cost(flops=10, masked_flops=6, bytes_read=1, bytes_written=1, memory_bytes=1)
    counted = msgspec.structs.replace(said, flops=16, masked_flops=0)
    case = msgspec.structs.replace(made_up.product(8), cost=said, counted=counted)

    assert verdicts(case) == [Answer.HOLDS]
