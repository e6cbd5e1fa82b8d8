"""The suite that calibrates: each case is one operator of a known kind, and the steps of a run ask for nothing larger."""

import doctest
from collections import Counter

import pytest
import torch

from harness.cost.trace import trace
from harness.costmodel.kinds import kind_of
from harness.records import Operator
from harness.workload import Workload
from suites import calibration
from suites.calibration import WORKLOADS, Calibration, Chain, Gemm, Pointwise

QUICK = [workload for workload in WORKLOADS if WORKLOADS.includes(workload, "quick")]
SMALL = [one for one in QUICK if getattr(one, "temperature", "") == "hot" and not isinstance(one, Chain)]


def kernels(workload: Workload) -> list[Operator]:
    found = trace(workload.prepare, torch.device("cpu"), workload.context())
    return [operator for operator in found.operators if operator.kernel]


def test_each_case_is_one_operator_and_all_kinds_are_there() -> None:
    kinds: Counter[str] = Counter()
    for workload in SMALL:
        operators = kernels(workload)
        assert [operator.count for operator in operators] == [1], workload
        assert operators[0].known, workload
        kinds[kind_of(operators[0])] += 1
    for kind in (
        "gemm",
        "batched gemm",
        "convolution",
        "1x1 convolution",
        "depthwise convolution",
        "attention",
    ):
        assert kinds[kind] >= 3
    for kind in (
        "convolution backward",
        "attention backward",
        "normalization",
        "normalization backward",
        "softmax",
    ):
        assert kinds[kind] >= 3
    for kind in ("elementwise", "transcendental", "copy", "gather", "scatter", "reduction", "pooling"):
        assert kinds[kind] >= 2


def test_nothing_else_calibrates_and_whole_models_never_do() -> None:
    from suites import inference, train_step

    assert all(workload.calibrates for workload in WORKLOADS)
    assert not any(workload.calibrates for workload in (*train_step.WORKLOADS, *inference.WORKLOADS))


def test_cold_operands_come_from_farther_than_any_cache() -> None:
    (hot,) = kernels(Pointwise("float32", "add", "hot", 300_000))
    (cold,) = kernels(Pointwise("float32", "add", "cold", 300_000))

    assert max(place for place, *_ in hot.reuse) == 22  # three operands of 1.2 MB
    assert max(place for place, *_ in cold.reuse) >= 27


def test_products_are_spread_over_orders_of_magnitude_in_all_layouts() -> None:
    products = [one for one in QUICK if isinstance(one, Gemm) and one.dtype == "float32"]

    assert {product.how for product in products} == {"nn", "nt", "tn"}
    assert min(product.m for product in products) <= 2
    assert max(product.m for product in products) >= 2048
    flops = sorted(2 * product.m * product.n * product.k for product in products)
    assert flops[0] < 1e5
    assert flops[-1] > 1e9


@pytest.mark.parametrize("how", ["inference", "training", "adamw", "momentum"])
def test_a_chain_runs_and_is_finite(how: str) -> None:
    chain = Chain("float32", how, "hot", 2, 8, 3)
    with chain.context():
        assert torch.isfinite(chain.prepare(torch.device("cpu"))()).all()


def test_a_chain_calls_as_many_functions_as_it_says() -> None:
    calls = []
    for extra in (1, 100):
        chain = Chain("float32", "inference", "hot", 2, 8, extra)
        calls.append(trace(chain.prepare, torch.device("cpu")).trace.phases[0].host_calls)

    assert calls[1] - calls[0] == 2 * 99 * 4  # itself, and three of Python's own


def test_an_unknown_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown temperature 'tepid': one of hot, warm, cool, cold"):
        Gemm("float32", "nn", "tepid", 8, 8, 8)


def test_updates_in_place_stay_normal_for_ever() -> None:
    """A chain of updates that runs into denormal numbers or infinity would measure those."""
    for how in ("add_", "mul_", "lerp_", "addcmul_", "addcdiv_"):
        workload: Calibration = Pointwise("float32", how, "hot", 64)
        call = workload.prepare(torch.device("cpu"))
        for _ in range(3000):
            output = call()
        assert ((output > 0.1) & (output < 10)).all(), how


def test_examples() -> None:
    assert doctest.testmod(calibration).failed == 0
