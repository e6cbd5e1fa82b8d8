"""Devices and what their errors mean."""

import os
import subprocess
import sys

import pytest
import torch

from harness.errors import Unsupported, UsageError
from harness.measure import openmp
from harness.measure.devices.base import impossible, named
from harness.measure.devices.cpu import Cpu


def test_auto_is_the_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"

    assert named("auto")[0].partition(":")[0] == expected


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:77", "", "CPU"])
def test_an_unknown_device_is_named_with_those_there_are(name: str) -> None:
    with pytest.raises(UsageError, match=rf"no device '{name}' here: auto, cpu"):
        named(name)


def test_threads_are_set_and_at_least_one() -> None:
    before = torch.get_num_threads()
    assert Cpu(1).threads == torch.get_num_threads() == 1
    torch.set_num_threads(before)
    with pytest.raises(UsageError, match="0 threads: at least 1"):
        named("cpu", 0)


def test_private_caches_count_once_a_thread() -> None:
    one, two = (Cpu(threads).memory_levels() for threads in (1, 2))

    assert one[-1] == two[-1]
    assert one[-1].capacity_bytes is None
    for few, more in zip(one[:-1], two[:-1], strict=True):
        assert few.capacity_bytes is not None
        assert more.capacity_bytes in {few.capacity_bytes, 2 * few.capacity_bytes}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unsupported("TF32 needs a GPU"), "TF32 needs a GPU"),
        (MemoryError("no room"), "out of memory: no room"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "out of memory: CUDA out of memory. Tried"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "out of memory: ",
        ),
        (NotImplementedError("no kernel"), "no kernel"),
        (
            RuntimeError("\"addmm\" not implemented for 'Float8'\nmore"),
            "\"addmm\" not implemented for 'Float8'",
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("not supported"), None),
    ],
)
def test_impossible_here_is_told_from_broken(error: Exception, reason: str | None) -> None:
    found = impossible(error)

    assert found is None if reason is None else (found or "").startswith(reason)


def test_the_spin_is_bounded_before_torch_loads_and_a_choice_is_left_alone() -> None:
    code = (
        "import os, sys; from harness.measure.openmp import bound_spinning\n"
        "assert bound_spinning(); assert 'torch' not in sys.modules\n"
        "print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"
    )
    clean = {name: value for name, value in os.environ.items() if name not in openmp.CHOICES}

    def printed(**variables: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], env=clean | variables, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert printed() == f"{openmp.SPIN_COUNT} None"
    assert printed(OMP_WAIT_POLICY="ACTIVE") == "None ACTIVE"


def test_a_bound_that_comes_too_late_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in openmp.CHOICES:
        monkeypatch.delenv(name, raising=False)

    assert not openmp.bound_spinning()  # torch is loaded here
    assert "GOMP_SPINCOUNT" not in os.environ
