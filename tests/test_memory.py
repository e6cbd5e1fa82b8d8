"""Peak memory on the CPU against hand counts, to the byte."""

import gc

import pytest
import torch

from harness.measure.devices.cpu import measure_memory_on_cpu
from harness.workload import Call, phases_of
from tests.allocations import measured_peaks

pytestmark = pytest.mark.instructions

CPU = torch.device("cpu")


def test_inputs_and_outputs_count_to_the_byte() -> None:
    def prepare(device: torch.device) -> Call:
        a, b = torch.randn(100, 200, device=device), torch.randn(200, 50, device=device)
        c = torch.empty(100, 50, device=device)
        return lambda: torch.mm(a, b, out=c)

    assert measure_memory_on_cpu(prepare).peak_bytes == 4 * (100 * 200 + 200 * 50 + 100 * 50)


def test_a_temporary_counts_while_it_lives() -> None:
    """relu makes 1 MiB, exp another while the first lives; the product of both a third."""

    def prepare(device: torch.device) -> Call:
        a = torch.randn(512, 512, device=device)
        return lambda: torch.relu(a).exp()

    assert measure_memory_on_cpu(prepare).peak_bytes == 3 * 2**20


def test_what_preparing_needed_and_gave_back_does_not_count() -> None:
    def prepare(device: torch.device) -> Call:
        wide = torch.randn(1024, 1024, device=device)
        narrow = wide.to(torch.bfloat16)
        del wide
        return narrow.neg_

    assert measure_memory_on_cpu(prepare).peak_bytes == 2 * 2**20


def test_what_lived_before_does_not_count() -> None:
    before = torch.randn(1024, 1024)

    def prepare(device: torch.device) -> Call:
        a = torch.ones(256, device=device)
        return a.neg_

    assert measure_memory_on_cpu(prepare).peak_bytes == 1024
    del before
    gc.collect()


def test_the_call_and_its_output_come_back() -> None:
    def prepare(device: torch.device) -> Call:
        return lambda: torch.full((2,), 7.0, device=device)

    memory = measure_memory_on_cpu(prepare)

    assert isinstance(memory.output, torch.Tensor)
    assert memory.output.tolist() == [7.0, 7.0]
    assert memory.call().tolist() == [7.0, 7.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_peak_holds_the_buffers_of_a_kernel(dtype: torch.dtype) -> None:
    """They differ from one CPU to the next; the tensors do not."""

    def prepare(device: torch.device) -> Call:
        image = torch.ones(2, 16, 32, 32, dtype=dtype, device=device)
        weight = torch.ones(8, 16, 3, 3, dtype=dtype, device=device)
        return lambda: torch.conv2d(image, weight)

    memory = measure_memory_on_cpu(prepare)
    real = measured_peaks(lambda: phases_of(prepare(CPU)))
    (tensors,) = real.kept.values()
    (total,) = real.total.values()

    assert tensors == dtype.itemsize * (2 * 16 * 32**2 + 8 * 16 * 3**2 + 2 * 8 * 30**2)
    assert memory.peak_bytes == total >= tensors
