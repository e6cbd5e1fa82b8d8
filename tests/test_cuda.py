"""What only a real NVIDIA GPU can show: `pytest -m cuda`. Each is held against a loop of its own."""

import time
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from harness import stats
from harness.cost.trace import trace
from harness.measure.batch import Batch, Order, Task
from harness.measure.devices.base import opened
from harness.measure.peaks.compute import measure_peaks
from harness.measure.pickling import pack_workload
from harness.measure.pool import WorkerPool
from harness.measure.runner import SAMPLING
from harness.measure.sensors import card_of
from harness.measure.timer import Timer
from harness.measure.views import views_of
from harness.models import build, training
from harness.records import Measurement
from harness.selftest.work import Product, Spin
from harness.workload import Call, Workload

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.xdist_group("cuda"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def by_events(call: Callable[[], object], calls: int = 20, rounds: int = 20) -> list[float]:
    """The plainest loop there is: events around back-to-back calls, after a second of warming up."""
    until = time.perf_counter() + 1.0
    while time.perf_counter() < until:
        call()
        torch.cuda.synchronize()
    seconds = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        for _ in range(calls):
            call()
        end.record()
        torch.cuda.synchronize()
        seconds.append(start.elapsed_time(end) * 1e-3 / calls)
    return seconds


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    one = WorkerPool("cuda:0", 1, lambda _: None)
    one.grow(2)
    yield one
    one.close()


def measured(pool: WorkerPool, workload: Workload) -> Measurement:
    task = Task(Order(str(workload), *pack_workload(workload), threads=1))
    Batch(pool, SAMPLING["quick"], card_of(pool.opened.uuid if pool.opened else None)).measure([task])
    assert isinstance(task.outcome, Measurement), task.outcome
    return task.outcome


def test_the_peaks_are_those_of_an_independent_loop() -> None:
    device = opened("cuda:0", 1)
    found = measure_peaks(device, lambda _: None, device.thread_counts())

    n = 8192
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    c = torch.empty_like(a)
    product = 2 * n**3 / min(by_events(lambda: torch.mm(a, b, out=c)))
    x = torch.randn(2**28, device="cuda")
    y = torch.empty_like(x)
    copy = 2 * x.nbytes / min(by_events(lambda: y.copy_(x)))

    torch_peak = found.torch_peak("bfloat16", device.threads)
    memory = max(b.bytes_per_second for b in found.bandwidth if b.level == "DRAM" and b.peak_level.achieved)
    assert torch_peak is not None
    assert torch_peak.flops_per_second == pytest.approx(product, rel=0.02)
    assert memory >= 0.98 * copy  # the best of four kernels is no slower than the copy among them


@pytest.mark.parametrize("microseconds", [50, 500, 5000])
def test_a_kernel_of_known_length_is_read_right(pool: WorkerPool, microseconds: int) -> None:
    outcome = measured(pool, Spin(microseconds))

    assert outcome.median == pytest.approx(microseconds * 1e-6, rel=0.02, abs=2e-6)
    assert (outcome.view.host_bound_fraction or 0.0) < 0.2


def test_a_short_kernel_is_the_same_cold_and_in_a_graph() -> None:
    """About 5 us: with the host's gaps inside the events it was seen to read 2.7 times as long."""
    device = opened("cuda:0", 1)

    def prepare() -> Callable[[], torch.Tensor]:
        a, b = (torch.randn(256, 256, device="cuda", dtype=torch.float16) for _ in range(2))
        c = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=c)

    views, missing = views_of(device, prepare, prepare(), 3 * 256 * 256 * 2)
    read = {}
    for view in views:
        view.warm_up(0.5)
        read[view.name] = stats.median(view.block(view.calls_per_sample(1e-4), 50).seconds)

        assert sum(late or False for late in (view.block(10, 8).host_bound or ())) == 0, view.name

    assert missing == {}
    assert read["gpu_cold"] == pytest.approx(read["gpu_graph"], rel=0.15)
    assert read["wall"] >= read["gpu_hot"] * 0.9


def test_two_runs_agree(pool: WorkerPool) -> None:
    first, second = (measured(pool, Product(4096)) for _ in range(2))

    assert first.median == pytest.approx(second.median, rel=0.01)


def test_the_timer_agrees_with_an_independent_loop() -> None:
    device = opened("cuda:0", 1)
    a = torch.randn(4096, 4096, device="cuda")
    timer = Timer(device)
    pace = timer.warm_up(lambda: torch.sin(a), 0.5)
    held = timer.block(lambda: torch.sin(a), 20, 20, pace.launch_seconds)
    ours = stats.median(held.seconds)

    assert held.host_bound == (False,) * 20

    assert ours == pytest.approx(stats.median(by_events(lambda: torch.sin(a))), rel=0.02)


def test_clocks_power_and_energy_are_in_the_record(pool: WorkerPool) -> None:
    outcome = measured(pool, Product(4096))

    assert outcome.sensors.readings > 0
    assert outcome.sensors.clock_hertz is not None
    assert outcome.sensors.power_watts is not None
    assert outcome.joules_per_call is not None
    watts = outcome.joules_per_call / outcome.median
    assert 0.3 < watts / outcome.sensors.power_watts.high < 1.5
    assert [view.name for view in outcome.views] == ["gpu_hot", "gpu_cold", "gpu_graph", "wall"]


STEPS = {
    "resnet18": {"batch": 16, "image": 128},
    "gpt2": {"batch": 4, "sequence": 512, "width": 512, "depth": 4, "vocabulary": 8192},
    "llama": {"batch": 4, "sequence": 512, "width": 512, "depth": 4, "vocabulary": 8192},
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", STEPS)
def test_the_peak_of_a_step_is_what_the_trace_says(name: str, dtype: str) -> None:
    pytest.importorskip("transformers")

    def prepare(device: torch.device) -> Call:
        return training(build(name, STEPS[name], device), device, dtype=dtype)

    device = opened("cuda:0", 1)
    said = trace(prepare, device.torch_device)
    memory = device.measure_memory(prepare)

    assert memory.peak_bytes is not None
    assert memory.allocated_bytes is not None
    assert memory.reserved_bytes is not None
    assert said.cost.memory_bytes == pytest.approx(memory.allocated_bytes, rel=0.05)
    assert memory.peak_bytes <= memory.allocated_bytes <= memory.reserved_bytes
    assert list(memory.phases) == ["forward", "backward", "optimizer"]


@pytest.mark.parametrize("backend", [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION])
def test_fused_attention_is_traced_as_it_runs_here(backend: SDPBackend) -> None:
    heads, length, depth = 8, 1024, 64

    def prepare(device: torch.device) -> Call:
        q, k, v = (
            torch.randn(1, heads, length, depth, device=device, dtype=torch.bfloat16, requires_grad=True)
            for _ in range(3)
        )

        def call() -> torch.Tensor:
            output = scaled_dot_product_attention(q, k, v, is_causal=True)
            output.sum().backward()  # type: ignore[no-untyped-call]
            return output

        return call

    found = trace(prepare, torch.device("cuda:0"), sdpa_kernel(backend)).trace
    product = 2 * heads * depth * length * (length + 1) // 2

    assert found.unknown == {}
    assert found.phase("forward").flops == 2 * product
    assert found.phase("backward").flops == 4 * product
    assert found.phase("backward").recomputed_flops == product
