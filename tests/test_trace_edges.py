"""Traces of what is out of the ordinary: what is counted, what takes no memory, and what a trace leaves behind."""

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from harness import store
from harness.cost.trace import Traced, trace
from harness.measure.devices.cpu import measure_memory_on_cpu
from harness.workload import Call
from tests.simulated import Simulated

CPU = torch.device("cpu")
LINEAR = 2 * 8 * 16 * 16  # FLOPs of one product below


def traced(prepare: Callable[[torch.device], Call]) -> Traced:
    return trace(prepare, CPU)


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))


def test_dropout_in_inference_makes_nothing() -> None:
    def prepare(_: torch.device) -> Call:
        net, x = nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.1)).eval(), torch.randn(8, 16)

        def call() -> torch.Tensor:
            with torch.inference_mode():
                return net(x)  # type: ignore[no-any-return]

        return call

    found = traced(prepare)

    assert [operator.name for operator in found.operators if operator.kernel] == ["addmm"]
    assert found.cost.memory_bytes == measure_memory_on_cpu(prepare).peak_bytes


def test_a_gradient_of_a_gradient_is_not_computed_again() -> None:
    def prepare(_: torch.device) -> Call:
        net, x = model(), torch.randn(8, 16, requires_grad=True)

        def call() -> torch.Tensor:
            (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
            slope.square().sum().backward()  # type: ignore[no-untyped-call]
            return slope

        return call

    cost = traced(prepare).cost

    assert cost.recomputed_flops == 0
    assert cost.flops > 4 * LINEAR


def test_what_a_closure_of_an_optimizer_does_is_forward_and_backward() -> None:
    def prepare(_: torch.device) -> Call:
        net, x = model(), torch.randn(8, 16)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss: torch.Tensor = net(x).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        return lambda: optimizer.step(closure)

    found = traced(prepare).trace

    assert found.phase("forward").flops == 2 * LINEAR
    assert found.phase("backward").flops == 3 * LINEAR
    assert found.phase("optimizer").flops == 0
    assert found.phase("optimizer").elementwise_flops > 0


def test_functional_gradients_are_traced_though_they_take_no_hooks() -> None:
    def prepare(_: torch.device) -> Call:
        weight, x = torch.randn(16, 16), torch.randn(8, 16)
        return lambda: torch.func.grad(lambda w: (x @ w).tanh().sum())(weight)

    assert traced(prepare).cost.flops == 2 * LINEAR


def test_a_window_over_itself_spans_what_it_lies_in() -> None:
    def prepare(_: torch.device) -> Call:
        x = torch.randn(1000)
        return lambda: x.unfold(0, 200, 4).sum(-1)

    assert traced(prepare).cost.bytes_read == 4 * 1000


def test_rows_of_a_small_table_are_read_once() -> None:
    def prepare(_: torch.device) -> Call:
        table, rows = torch.randn(2, 8), torch.randint(2, (500,))
        return lambda: nn.functional.embedding(rows, table)

    assert traced(prepare).cost.bytes_read == 8 * 500 + 4 * 2 * 8


def test_complex_products_are_four_real_ones() -> None:
    def prepare(_: torch.device) -> Call:
        a = torch.randn(8, 16, dtype=torch.complex64)
        b = torch.randn(16, 16, dtype=torch.complex64)
        return lambda: a @ b

    assert traced(prepare).cost.flops == 4 * LINEAR


def test_a_large_mask_is_not_made_for_real() -> None:
    """32768 positions against each other would be a gigabyte."""

    def prepare(_: torch.device) -> Call:
        position, x = torch.arange(32768), torch.randn(8)

        def call() -> torch.Tensor:
            mask = position[:, None] >= position[None]
            return torch.where(mask, x[0], x[1])

        return call

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = traced(prepare)

    assert found.cost.bytes_written > 4 * 32768**2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 2**10  # KiB


BEFORE = torch.randn(64, 16)
NET = model()


def test_what_was_there_before_is_told_apart() -> None:
    """The measured pass does not see it either."""

    def prepare(_: torch.device) -> Call:
        return lambda: NET(BEFORE).detach()

    found = traced(prepare)
    measured = measure_memory_on_cpu(prepare).peak_bytes

    assert found.trace.parameters == 2 * (16 * 16 + 16)
    assert measured is not None
    assert found.cost.memory_bytes - found.trace.foreign_bytes == pytest.approx(measured, rel=0.02)


CYCLES = """
from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch

from harness import Sweep, Workload
from tests import simulated

TABLE = torch.rand(4)


@lru_cache
def kept():
    return torch.rand(4)


@dataclass(frozen=True)
class Keeping(Workload):
    name: str

    def prepare(self, device):
        def call():
            simulated.CURRENT.submit(1e-4)
            return TABLE + kept()

        return call


WORKLOADS = Sweep(quick=[Keeping("things")])


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_keeping(workload, bench):
    bench(workload)
"""


@pytest.mark.slow
@pytest.mark.worker
def test_what_a_module_keeps_from_a_trace_is_in_no_process_that_measures(
    tmp_path: Path, plumbline: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real processes: a simulated worker pool would share one."""
    path = tmp_path / "keeping.py"
    path.write_text(
        CYCLES.replace("simulated.CURRENT.submit(1e-4)", "pass").replace("from tests import simulated\n", "")
    )

    status, _, errors = plumbline("bench", path, "--device", "cpu", "--threads", "1")

    result = store.read(store.find("latest")).results[0]
    assert (status, errors) == (0, "")
    assert result.measurement is not None
    assert result.case.trace is not None


def test_a_fake_tensor_is_no_result(machine: Simulated) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    from harness.measure.handler import _wrong_output

    with FakeTensorMode():
        fake = torch.ones(2)

    assert _wrong_output(fake, CPU) == "the call returned FakeTensor, not a tensor"
