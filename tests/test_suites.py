"""The suites against independent counts: torch's own FLOP counter, and the tensors themselves."""

import gc
import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness import ITEM_BYTES, Unsupported, Workload
from suites import bandwidth, matmul

EVERY = [*matmul.WORKLOADS, *bandwidth.WORKLOADS]
PRODUCTS = [
    w for w in matmul.WORKLOADS if isinstance(w, matmul.Matmul) and w.dtype in {"float32", "bfloat16"}
]
SMALL = [w for w in EVERY if (cost := w.cost()) and cost.memory_bytes < 2**22 and cost.flops < 2**28]


@pytest.mark.parametrize("workload", PRODUCTS, ids=str)
def test_flops_agree_with_torch(workload: Workload) -> None:
    call = workload.prepare(torch.device("meta"))
    with FlopCounterMode(display=False) as counter:
        call()

    cost = workload.cost()
    assert cost is not None
    assert cost.flops == counter.get_total_flops()


def test_flops_by_hand() -> None:
    # 2 x 3 outputs, each of 4 multiplications and 4 additions: 2 * 3 * 8 = 48.
    assert matmul.Matmul("float32", 2, 3, 4).cost().flops == 48
    # An 8-element triad: 8 multiplications, 8 additions.
    assert bandwidth.Triad("float32", 8).cost().elementwise_flops == 16
    assert bandwidth.Reduction("float32", 8).cost().elementwise_flops == 7


@pytest.mark.parametrize("workload", SMALL, ids=str)
def test_memory_is_that_of_the_tensors_a_call_holds(workload: Workload) -> None:
    """What the call's closure holds and returns, counted by storage: no formula of ours in it."""
    try:
        call = workload.prepare(torch.device("cpu"))
    except Unsupported:
        pytest.skip("not on this device")
    with workload.context():
        held = [call(), *(cell.cell_contents for cell in call.__closure__ or ())]
    tensors = [one for one in held if isinstance(one, torch.Tensor)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}

    cost = workload.cost()
    assert cost is not None
    scale = (
        4 if getattr(workload, "dtype", "") == "float8_e4m3fn" else 0
    )  # the scalar scale of an FP8 product
    assert cost.memory_bytes + scale == sum(storages.values())
    gc.collect()


@pytest.mark.parametrize(("kind", "expected"), [("Copy", (1, 1)), ("Triad", (2, 1)), ("Reduction", (1, 0))])
def test_streams_move_each_array_once(kind: str, expected: tuple[int, int]) -> None:
    n = 2**20
    cost = getattr(bandwidth, kind)("float32", n).cost()

    read, written = (count * 4 * n for count in expected)
    assert cost.bytes_read == read
    assert cost.bytes_written - written in {0, 4}


@pytest.mark.parametrize("kind", [bandwidth.Copy, bandwidth.Triad, bandwidth.Reduction])
def test_streams_do_what_they_say(kind: type[bandwidth.Streaming]) -> None:
    call = kind("float32", 100_000).prepare(torch.device("cpu"))
    tensors = {
        name: cell.cell_contents
        for name, cell in zip(call.__code__.co_freevars, call.__closure__ or (), strict=True)
    }

    output = call()

    expected = {
        "Copy": lambda: tensors["a"],
        "Triad": lambda: tensors["b"] + 3.0 * tensors["c"],
        "Reduction": lambda: tensors["a"].double().sum().float(),
    }[kind.__name__]()
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float8_e4m3fn"])
def test_products_are_products(dtype: str) -> None:
    call = matmul.Matmul(dtype, 8, 16, 32).prepare(torch.device("cpu"))
    tensors = [cell.cell_contents for cell in call.__closure__ or ()]
    a, b = (t for t in tensors if isinstance(t, torch.Tensor) and t.numel() in {8 * 32, 32 * 16})

    torch.testing.assert_close(call().float(), a.float() @ b.float(), rtol=0.02, atol=0.2)


def test_tf32_is_skipped_on_a_cpu_with_the_reason() -> None:
    with pytest.raises(Unsupported, match=r"TF32 needs an NVIDIA GPU"):
        matmul.Matmul("tf32", 64, 64, 64).prepare(torch.device("cpu"))


def test_ids_are_unique_stable_and_need_no_quoting() -> None:
    ids = [str(w) for w in EVERY]

    assert len(ids) == len(set(ids))
    assert str(matmul.Matmul("float32", 4096, 4096, 4096)) == "matmul-float32-m4096-n4096-k4096"
    assert str(bandwidth.Copy("float32", 2048)) == "copy-float32-n2048"
    assert all(re.fullmatch(r"[\w-]+", one) for one in ids)


def test_profiles_grow() -> None:
    for sweep in (matmul.WORKLOADS, bandwidth.WORKLOADS):
        sizes = [sum(sweep.includes(w, p) for w in sweep) for p in ("quick", "standard", "full")]
        assert 0 < sizes[0] < sizes[1] < sizes[2] == len(sweep)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: matmul.Matmul("float31", 1, 1, 1), r"unknown dtype 'float31': one of float32"),
        (lambda: matmul.Matmul("float32", 0, 1, 1), r"Matmul.m is 0: a size is at least 1"),
        (lambda: bandwidth.Copy("float32", -1), r"Copy.n is -1"),
    ],
)
def test_wrong_sizes_name_the_field_and_what_is_allowed(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [d for d in ITEM_BYTES if d != "tf32"])
def test_item_bytes_agree_with_torch(dtype: str) -> None:
    assert ITEM_BYTES[dtype] == getattr(torch, dtype).itemsize
