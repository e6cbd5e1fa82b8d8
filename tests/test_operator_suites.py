"""The suites of single operators against independent counts: the trace, torch's counter, hands, and real calls."""

import gc
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from harness import ITEM_BYTES, Cost, Unsupported, Workload
from harness.cost.operators import Operand, OperatorCall, work_of
from harness.cost.trace import trace
from harness.measure.devices.cpu import measure_memory_on_cpu
from suites import attention, bandwidth, conv, data, elementwise, matmul, normalization
from suites.attention import Attention
from suites.conv import Conv1d, Conv2d, Conv3d, Convolution, ConvTranspose2d
from suites.normalization import BatchNorm, CrossEntropy, LayerNorm, RMSNorm, Softmax

SUITES = (attention, conv, data, elementwise, normalization)
LIMITS = {attention: 18, conv: 16, data: 6, elementwise: 14, normalization: 14}
EVERY = [w for suite in SUITES for w in suite.WORKLOADS]
QUICK = [w for suite in SUITES for w in suite.WORKLOADS if suite.WORKLOADS.includes(w, "quick")]
CPU = torch.device("cpu")

# Small and odd, so that no two sizes can be taken for each other.
ODD = Attention("float32", "forward", "math", "causal", 2, 6, 3, 7, 11, 5)
ALIKE = Attention("float32", "forward", "math", "full", 1, 2, 2, 64, 64, 8)
PLAIN = ("float32", "backward", "contiguous")
SMALL: list[Workload] = [
    *attention.over(
        ODD, backend=("math", "flash"), mask=attention.MASKS, kv_heads=(6, 3, 1), **attention.EACH
    ),
    *attention.over(ALIKE, backend=("math", "flash"), mask=attention.MASKS, **attention.EACH),
    Conv1d(*PLAIN, 2, 4, 6, 17, 5, 3, 2, 2, 2),
    Conv2d(*PLAIN, 3, 4, 8, 9, 3, 2, 1, 1, 4),
    Conv2d("bfloat16", "backward", "channels_last", 2, 8, 6, 7, 3, 1, 2, 2),
    Conv3d("float32", "backward", "channels_last", 1, 4, 2, 5, 3, 1, 1),
    ConvTranspose2d(*PLAIN, 2, 6, 4, 5, 4, 2, 1, 1, 2),
    elementwise.Swiglu("bfloat16", 100),
    elementwise.AdamW("bfloat16", "foreach", 3, 100),
    elementwise.AdamW("bfloat16", "fused", 3, 100),
    *(kind("bfloat16", d, 6, 40) for kind in (Softmax, LayerNorm, CrossEntropy) for d in conv.DIRECTIONS),
    *(BatchNorm("float32", d, 2, 3, 5) for d in conv.DIRECTIONS),
]


def kept_from_the_trace(workload: Workload) -> str | None:
    """Why a workload cannot be traced on a CPU, or what its trace counts otherwise."""
    if isinstance(workload, data.Transfer):
        return "a CPU has no other side"
    if isinstance(workload, data.Loader) and workload.workers:
        return "fake tensors do not pass between processes"
    if isinstance(workload, Attention) and workload.backend in {"efficient", "cudnn"}:
        return "a CPU has no such backend"
    if isinstance(workload, RMSNorm):
        return "a CPU composes what is counted as one kernel; held against the formula of that kernel below"
    return None


def takes_scratch(workload: Workload) -> str | None:
    """Why a call on a CPU takes more memory than its tensors."""
    if isinstance(workload, Convolution):
        return "copies in the blocked layout of oneDNN, or one column for each tap"
    if isinstance(workload, Attention) and workload.backend == "flash":
        return "a tile of scores for each thread"
    if isinstance(workload, RMSNorm):
        return "composed of several operators"
    if isinstance(workload, BatchNorm) and workload.direction == "backward":
        return "one more tensor of the input's size"
    if isinstance(workload, data.Loader) and workload.workers > 1:
        return "a batch arrives before its turn"
    return None


TRACED = [w for w in [*QUICK, *SMALL] if kept_from_the_trace(w) is None]
RUN = [w for w in QUICK if not isinstance(w, data.Loader) or not w.workers]


@pytest.mark.parametrize("workload", TRACED, ids=str)
def test_closed_forms_agree_with_the_trace(workload: Workload) -> None:
    cost = workload.cost()
    assert cost is not None

    traced = trace(workload.prepare, CPU, workload.context())

    counted = {
        name: sum(operator.count * getattr(operator, name) for operator in traced.operators)
        for name in (
            "flops",
            "masked_flops",
            "recomputed_flops",
            "elementwise_flops",
            "bytes_read",
            "bytes_written",
        )
    }
    assert {name: getattr(cost, name) for name in counted} == counted
    assert not traced.trace.unknown


@pytest.mark.parametrize("workload", TRACED, ids=str)
def test_memory_agrees_with_the_trace(workload: Workload) -> None:
    cost = workload.cost()
    assert cost is not None

    found = trace(workload.prepare, CPU, workload.context()).cost.memory_bytes

    if isinstance(workload, Attention) and workload.backend == "math" and workload.direction == "forward":
        # Softmax keeps a byte for each score and row to find rows without a key, inside one operator.
        rows = workload.batch * workload.heads * workload.queries
        assert cost.memory_bytes - found in range(rows * (workload.keys + 1) + 4 + 1)
    else:
        assert cost.memory_bytes == found


@pytest.mark.instructions
@pytest.mark.parametrize("workload", [*RUN, *SMALL], ids=str)
def test_a_call_gives_a_finite_tensor_in_the_memory_that_was_said(workload: Workload) -> None:
    cost = workload.cost()
    assert cost is not None
    try:
        with workload.context():
            memory = measure_memory_on_cpu(workload.prepare)
    except Unsupported as refusal:
        pytest.skip(str(refusal))

    assert isinstance(memory.output, torch.Tensor)
    assert torch.isfinite(memory.output.float()).all()
    assert memory.peak_bytes is not None
    if takes_scratch(workload) is None:
        assert memory.peak_bytes == pytest.approx(cost.memory_bytes, rel=0.02, abs=1024)
    else:
        assert memory.peak_bytes >= 0.98 * cost.memory_bytes


def counted_by_torch(workload: Workload) -> int:
    with workload.context():
        call = workload.prepare(torch.device("meta"))
        with FlopCounterMode(display=False) as counter:
            call()
    return int(counter.get_total_flops())


# torch's counter takes the gradient of a grouped weight for one of all pairs of channels.
COUNTED_RIGHT = [
    w for w in [*QUICK, *SMALL] if isinstance(w, Convolution) and (w.direction == "forward" or w.groups == 1)
]


@pytest.mark.parametrize("workload", COUNTED_RIGHT, ids=str)
def test_convolutions_agree_with_torch(workload: Convolution) -> None:
    assert workload.cost().flops == counted_by_torch(workload)


@pytest.mark.parametrize("workload", [w for w in QUICK if isinstance(w, Attention)], ids=str)
def test_attention_agrees_with_torch(workload: Attention) -> None:
    """Torch counts 0 for the fused kernel of a CPU, so its products are counted one by one; without the mask."""
    assert workload.cost().flops_dense == counted_by_torch(replace(workload, backend="math"))


def test_convolutions_by_hand() -> None:
    forward = ("float32", "forward", "contiguous")
    # 4 x 4 outputs of 3 channels, each of 2 channels x 9 taps: 48 * 18 multiply-adds.
    assert Conv2d(*forward, 1, 2, 3, 4, 3, 1, 1).cost().flops == 2 * 48 * 18
    # At a stride of 2 there are 2 x 2.
    assert Conv2d(*forward, 1, 2, 3, 4, 3, 2, 1).cost().flops == 2 * 12 * 18
    # Depthwise: 4 channels of 3 x 3 outputs, each of its own channel's 9 taps.
    depthwise = Conv2d(*forward, 1, 4, 4, 3, 3, 1, 1, 1, 4)
    assert depthwise.cost().flops == 2 * 36 * 9
    assert depthwise.cost().bytes_read == 4 * (36 + 36)
    # Transposed: 2 channels of 2 x 2 inputs, each to 3 channels x 16 taps; the edge doubles.
    transposed = ConvTranspose2d(*forward, 1, 2, 3, 2, 4, 2, 1)
    assert transposed.cost().flops == 2 * 8 * 48
    assert transposed.output_size == 4
    # A kernel of 3 at a dilation of 2 reaches over 5.
    assert Conv1d(*forward, 1, 1, 1, 5, 3, dilation=2).output_size == 1


def test_attention_by_hand() -> None:
    one = Attention("float32", "forward", "flash", "causal", 1, 1, 1, 4, 4, 8)
    # 1 + 2 + 3 + 4 = 10 pairs of 16: two products of 8 multiply-adds for each.
    assert one.cost().flops == 2 * 2 * 8 * 10
    assert one.cost().masked_flops == 2 * 2 * 8 * 6
    assert replace(one, mask="full").cost().flops == one.cost().flops_dense
    backward = replace(one, direction="backward").cost()
    assert (backward.flops, backward.recomputed_flops) == (4 * 2 * 8 * 10, 2 * 8 * 10)
    assert replace(one, direction="backward", backend="math").cost().recomputed_flops == 0
    # Aligned to the top left: 2 queries on 5 keys see 1 + 2, 5 queries on 2 keys 1 + 2 + 2 + 2 + 2.
    assert replace(one, queries=2, keys=5).pairs == 3
    assert replace(one, queries=5, keys=2).pairs == 9


def test_fewer_heads_of_keys_are_fewer_bytes_and_as_many_flops() -> None:
    many = Attention("bfloat16", "forward", "flash", "full", 2, 8, 8, 1, 1000, 64)
    few = replace(many, kv_heads=2)

    assert few.cost().flops == many.cost().flops
    # Keys and values, two bytes each, of six heads less in two batches.
    assert many.cost().bytes_read - few.cost().bytes_read == 2 * 2 * 2 * 6 * 1000 * 64


@pytest.mark.parametrize("direction", conv.DIRECTIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rms_norm_agrees_with_the_formula_of_the_fused_kernel(direction: str, dtype: str) -> None:
    rows, width = 6, 40

    def operand(*shape: int) -> Operand:
        return Operand(shape, dtype, ITEM_BYTES[dtype] * torch.Size(shape).numel())

    x, weight, root = operand(rows, width), operand(width), operand(rows, 1)
    if direction == "forward":
        names = {"input": x, "weight": weight}
        call = OperatorCall("_fused_rms_norm", names, (x, weight), (x, root))
    else:
        arguments: dict[str, Any] = {"input": x, "weight": weight, "output_mask": [True, True]}
        call = OperatorCall("_fused_rms_norm_backward", arguments, (x, x, root, weight), (x, weight))
    work, cost = work_of(call), RMSNorm(dtype, direction, rows, width).cost()

    assert work is not None
    assert cost.elementwise_flops == work.elementwise_flops
    assert (cost.bytes_read, cost.bytes_written) == (work.bytes_read, work.bytes_written)


@pytest.mark.parametrize("backend", ["efficient", "cudnn"])
def test_a_backend_that_a_cpu_lacks_is_skipped_with_the_reason(backend: str) -> None:
    with pytest.raises(Unsupported, match=rf"the {backend} backend of attention needs an NVIDIA GPU"):
        replace(ODD, backend=backend).prepare(CPU)


@pytest.mark.parametrize(
    ("can", "words"), [(True, None), (False, "Some GPU has no flash attention for float32")]
)
def test_a_backend_whose_kernels_refuse_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, *, can: bool, words: str | None
) -> None:
    tensor: Any = SimpleNamespace(device=torch.device("cuda"), dtype=torch.float32, shape=(1, 2, 3, 64))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some GPU")
    monkeypatch.setattr(torch.backends.cuda, "SDPAParams", lambda *_: None)
    monkeypatch.setattr(torch.backends.cuda, "can_use_flash_attention", lambda _: can)

    def ask() -> None:
        attention.require_backend("flash", tensor, tensor, tensor, causal=True, grouped=False)

    if words is None:
        ask()
    else:
        with pytest.raises(Unsupported, match=words):
            ask()


def test_data_has_sides_and_says_which_is_missing() -> None:
    with pytest.raises(Unsupported, match="no device to copy to or from"):
        data.Transfer("to_device", "pinned", 8).prepare(CPU)
    with pytest.raises(Unsupported, match="--device cpu"):
        data.Loader(0, 1, 1, 1).prepare(torch.device("cuda"))
    assert data.Transfer("to_host", "pageable", 8).cost() == Cost(32, 0, 32)
    assert data.Loader(0, 4, 3, 8).items() == {"samples": 12}


@pytest.mark.worker
def test_workers_of_a_loader_give_the_same_batches_and_go_with_the_call() -> None:
    def loaded(workers: int) -> torch.Tensor:
        torch.manual_seed(1)
        call = data.Loader(workers, 4, 3, 8).prepare(CPU)
        started = len(psutil.Process().children())
        assert started - before == workers
        torch.testing.assert_close(call(), call())
        assert len(psutil.Process().children()) == started  # the same, from call to call
        return call().clone()

    before = len(psutil.Process().children())
    alone, helped = loaded(0), loaded(2)
    gc.collect()

    torch.testing.assert_close(alone, helped)
    assert alone.shape == (4, 3, 8, 8)
    assert abs(float(alone.mean())) < 0.5  # normalised: a mean of 127.5 has become one near 0.2
    assert len(psutil.Process().children()) == before


def closure(call: Any) -> dict[str, Any]:
    names = call.__code__.co_freevars
    return {name: cell.cell_contents for name, cell in zip(names, call.__closure__ or (), strict=True)}


@pytest.mark.parametrize("kind", elementwise.OPERATIONS)
def test_elementwise_does_what_it_says(kind: type[elementwise.Pointwise]) -> None:
    call = kind("float32", 100).prepare(CPU)
    held = closure(call)
    a, b = held["a"], held.get("b", torch.zeros(100))

    expected = {"Add": a + b, "Gelu": functional.gelu(a), "Swiglu": functional.silu(a) * b}[kind.__name__]
    torch.testing.assert_close(call(), expected)
    assert call() is held["out"]


@pytest.mark.parametrize("kernel", elementwise.KERNELS)
def test_a_step_of_adamw_moves_every_parameter(kernel: str) -> None:
    call = elementwise.AdamW("float32", kernel, 3, 10).prepare(CPU)
    parameters = closure(call)["optimizer"].param_groups[0]["params"]
    before = [parameter.detach().clone() for parameter in parameters]

    output = call()

    assert output.data_ptr() == parameters[0].data_ptr()
    assert all(bool((one != old).all()) for one, old in zip(parameters, before, strict=True))


def test_softmax_writes_rows_that_add_up_to_one() -> None:
    output = Softmax("float32", "forward", 3, 7).prepare(CPU)()

    torch.testing.assert_close(output.sum(1), torch.ones(3))


def test_ieee_convolutions_leave_the_switch_as_it_was() -> None:
    before = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    with Conv2d("float32", "forward", "contiguous", 1, 1, 1, 1, 1).context():
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"  # type: ignore[attr-defined]
    assert torch.backends.cudnn.conv.fp32_precision == before  # type: ignore[attr-defined]


def test_ids_are_unique_stable_and_need_no_quoting() -> None:
    ids = [str(w) for w in [*EVERY, *matmul.WORKLOADS, *bandwidth.WORKLOADS]]

    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w-]+", one) for one in ids)
    assert str(conv.DEPTHWISE) == (
        "conv2d-float32-forward-contiguous-batch4-inputs96-outputs96-size56-kernel3-padding1-groups96"
    )
    assert str(replace(attention.BASE, swept="depth")) == (
        "attention-float32-forward-flash-causal-batch1-heads8-kv_heads8-queries512-keys512-depth64"
    )
    assert str(data.Loader(0, 4, 3, 8)) == "loader-workers0-batch4-batches3-size8"


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_profiles_grow_and_quick_stays_small(suite: Any) -> None:
    sweep = suite.WORKLOADS
    sizes = [sum(sweep.includes(w, p) for w in sweep) for p in ("quick", "standard", "full")]

    assert 0 < sizes[0] <= LIMITS[suite]
    assert sizes[0] < sizes[1] < sizes[2] == len(sweep)


def test_members_of_a_series_differ_in_its_variable_alone() -> None:
    found: dict[str, dict[int, Workload]] = {}
    for workload in EVERY:
        series = workload.series()
        assert series is not None
        members = found.setdefault(series.name, {})
        assert series.size not in members, f"{workload} and {members[series.size]}"
        members[series.size] = workload
    swept = {name for name, members in found.items() if len(members) >= 4}
    assert {name.split("-")[0] for name in swept} >= {"attention", "conv2d", "add", "softmax", "adamw"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(conv.BLOCK, direction="sideways"), "unknown direction 'sideways': one of forward"),
        (lambda: replace(conv.SEQUENCE, layout="channels_last"), "unknown layout 'channels_last'"),
        (lambda: replace(conv.BLOCK, padding=-1), "Conv2d.padding is -1: it is at least 0"),
        (lambda: replace(conv.BLOCK, groups=3), "64 inputs and 64 outputs in 3 groups"),
        (lambda: replace(conv.BLOCK, size=1, padding=0), "a kernel of 3 does not fit a grid of 1"),
        (lambda: conv.over(conv.BLOCK, width=(1,)), "Conv2d has no field 'width'"),
        (lambda: replace(ODD, backend="fast"), "unknown backend 'fast': one of math, flash"),
        (lambda: replace(ODD, kv_heads=4), "6 heads cannot share 4 heads"),
        (lambda: elementwise.AdamW("float32", "slow", 1, 1), "unknown kernel 'slow': one of foreach, fused"),
        (lambda: Softmax("float32", "up", 1, 1), "unknown direction 'up'"),
        (lambda: data.Transfer("up", "pinned", 1), "unknown direction 'up': one of to_device, to_host"),
        (lambda: data.Loader(-1, 1, 1, 1), "Loader.workers is -1: it is at least 0"),
    ],
)
def test_wrong_fields_say_what_is_allowed(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        make()
