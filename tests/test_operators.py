"""What each operator costs: against torch's own counter where it is right, and against hand counts where it is not."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from harness.cost.operators import FORMULAS, Operand, OperatorCall, Work, is_free, work_of
from harness.cost.trace import Traced, trace
from harness.records import Operator

CPU = torch.device("cpu")
FP32 = 4

Maker = Callable[[], Callable[[], Any]]


def traced(make: Maker) -> Traced:
    """The trace of what `make` returns; what it makes beforehand is input."""
    return trace(lambda _: make(), CPU)


def only(make: Maker, name: str) -> Operator:
    """The one operator of that name in a trace, in-place variants included."""
    found = [operator for operator in traced(make).operators if operator.name.rstrip("_") == name]
    assert len(found) == 1, [operator.name for operator in traced(make).operators]
    return found[0]


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(shape, requires_grad=True)


def backward_of(call: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    def run() -> torch.Tensor:
        output = call()
        output.backward(torch.ones_like(output))  # type: ignore[no-untyped-call]
        return output

    return run


def quiet(module: nn.Module, *inputs: torch.Tensor) -> Any:
    with torch.no_grad():
        return module(*inputs)


def on(function: Callable[..., Any], *makers: Callable[[], Any]) -> Maker:
    """A function of what the makers make beforehand."""

    def make() -> Callable[[], Any]:
        made = [maker() for maker in makers]
        return lambda: function(*made)

    return make


def stepping(function: Callable[..., Any], *makers: Callable[[], Any]) -> Maker:
    """The same, and its backward pass."""
    make = on(function, *makers)
    return lambda: backward_of(make())


# Products and convolutions: torch's counter is right.

A, B, X3, Y3 = (6, 5), (5, 7), (3, 6, 5), (3, 5, 7)
RIGHT: dict[str, Maker] = {
    "mm": on(lambda a, b: a @ b, partial(torch.randn, A), partial(torch.randn, B)),
    "mm_transposed": on(lambda a, b: a.T @ b.T, partial(torch.randn, 5, 6), partial(torch.randn, 7, 5)),
    "mm_backward": stepping(lambda a, b: a @ b, partial(leaf, *A), partial(leaf, *B)),
    "mm_frozen_input": stepping(lambda a, b: a @ b, partial(torch.randn, A), partial(leaf, *B)),
    "addmm": on(
        lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2),
        partial(torch.randn, 7),
        partial(torch.randn, A),
        partial(torch.randn, B),
    ),
    "bmm": stepping(lambda a, b: a @ b, partial(leaf, *X3), partial(leaf, *Y3)),
    "baddbmm": on(
        torch.baddbmm,
        partial(torch.randn, 3, 6, 7),
        partial(leaf, *X3),
        partial(leaf, *Y3),
    ),
    "matmul_broadcast": stepping(lambda a, b: a @ b, partial(leaf, 2, 3, 6, 5), partial(leaf, 5, 7)),
    "linear": stepping(lambda m, x: m(x), partial(nn.Linear, 5, 7), partial(leaf, 2, 3, 5)),
    "linear_no_bias": stepping(
        lambda m, x: m(x), partial(nn.Linear, 5, 7, bias=False), partial(torch.randn, 4, 5)
    ),
    "einsum_heads": stepping(
        lambda q, k: torch.einsum("bqhd,bkhd->bhqk", q, k),
        partial(leaf, 2, 4, 3, 8),
        partial(leaf, 2, 6, 3, 8),
    ),
    "einsum_three": on(
        lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c),
        partial(torch.randn, 4, 5),
        partial(torch.randn, 5, 6),
        partial(torch.randn, 6, 3),
    ),
    "conv1d": stepping(
        lambda m, x: m(x), partial(nn.Conv1d, 3, 8, 5, stride=2, padding=1), partial(leaf, 2, 3, 20)
    ),
    "conv2d": stepping(
        lambda m, x: m(x), partial(nn.Conv2d, 3, 8, 3, padding=1), partial(leaf, 2, 3, 10, 12)
    ),
    "conv2d_first_layer": stepping(
        lambda m, x: m(x), partial(nn.Conv2d, 3, 8, 3), partial(torch.randn, 2, 3, 10, 12)
    ),
    "conv2d_uneven": stepping(
        lambda m, x: m(x),
        partial(nn.Conv2d, 3, 8, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False),
        partial(leaf, 2, 3, 11, 17),
    ),
    "conv2d_pointwise": stepping(lambda m, x: m(x), partial(nn.Conv2d, 16, 4, 1), partial(leaf, 2, 16, 6, 6)),
    "conv2d_grouped_forward": on(
        lambda m, x: m(x), partial(nn.Conv2d, 8, 16, 3, groups=4), partial(torch.randn, 2, 8, 9, 9)
    ),
    "conv3d": stepping(
        lambda m, x: m(x), partial(nn.Conv3d, 2, 4, 3, padding=1), partial(leaf, 1, 2, 5, 6, 7)
    ),
    "transposed1d": on(
        lambda m, x: m(x), partial(nn.ConvTranspose1d, 4, 6, 3, stride=2), partial(leaf, 2, 4, 9)
    ),
    "transposed2d": stepping(
        lambda m, x: m(x),
        partial(nn.ConvTranspose2d, 6, 4, 3, stride=2, padding=1, output_padding=1),
        partial(leaf, 2, 6, 5, 5),
    ),
    "transposed3d": on(
        lambda m, x: m(x), partial(nn.ConvTranspose3d, 4, 2, 2, stride=2), partial(leaf, 1, 4, 3, 3, 3)
    ),
    "gru": on(lambda m, x: m(x)[0], partial(nn.GRU, 8, 12, 2), partial(torch.randn, 5, 3, 8)),
    "rnn": on(lambda m, x: m(x)[0], partial(nn.RNN, 8, 12), partial(torch.randn, 5, 3, 8)),
    "lstm_cell": on(lambda m, x: m(x)[0], partial(nn.LSTMCell, 8, 12), partial(torch.randn, 3, 8)),
    "multihead_attention": on(
        lambda m, x: m(x, x, x)[0],
        partial(nn.MultiheadAttention, 16, 4, dropout=0.1),
        partial(torch.randn, 5, 2, 16),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_matrix_flops_are_those_of_torchs_counter(name: str) -> None:
    call = RIGHT[name]()
    with FlopCounterMode(display=False) as counter:
        call()

    cost = traced(RIGHT[name]).cost
    assert cost.flops == counter.get_total_flops() > 0
    assert cost.masked_flops == cost.recomputed_flops == 0


# Where torch's counter says nothing, or too much: hand counts, (forward and backward) in FLOPs.

HAND: dict[str, tuple[Maker, int]] = {
    "mv": (on(lambda a, x: a @ x, partial(torch.randn, 6, 5), partial(torch.randn, 5)), 2 * 6 * 5),
    "addmv": (
        on(torch.addmv, partial(torch.randn, 6), partial(torch.randn, 6, 5), partial(torch.randn, 5)),
        2 * 6 * 5,
    ),
    "dot": (on(lambda x, y: x @ y, partial(torch.randn, 9), partial(torch.randn, 9)), 2 * 9),
    "vdot": (on(torch.vdot, partial(torch.randn, 9), partial(torch.randn, 9)), 2 * 9),
    "outer": (on(torch.outer, partial(torch.randn, 9), partial(torch.randn, 4)), 0),
    "addbmm": (
        on(torch.addbmm, partial(torch.randn, 6, 7), partial(torch.randn, X3), partial(torch.randn, Y3)),
        3 * 2 * 6 * 7 * 5,
    ),
    "chain": (
        on(torch.chain_matmul, partial(torch.randn, 2, 9), partial(torch.randn, 9, 3), partial(torch.randn, 3, 8)),
        2 * 2 * 9 * 3 + 2 * 2 * 3 * 8,
    ),
    "bilinear": (  # two products for each term, one addition
        on(lambda m, a, b: m(a, b), partial(nn.Bilinear, 4, 5, 3, bias=False), partial(torch.randn, 2, 4), partial(torch.randn, 2, 5)),
        3 * 2 * 3 * 4 * 5,
    ),
    # Forward, gradient of the input, gradient of the weight: the same multiply-adds each.
    "grouped": (
        stepping(lambda m, x: m(x), partial(nn.Conv2d, 8, 16, 3, padding=1, groups=4), partial(leaf, 2, 8, 9, 9)),
        3 * 2 * (2 * 16 * 9 * 9) * (8 // 4) * 3 * 3,
    ),
    "depthwise": (
        stepping(lambda m, x: m(x), partial(nn.Conv2d, 8, 8, 5, padding=2, groups=8), partial(leaf, 2, 8, 9, 9)),
        3 * 2 * (2 * 8 * 9 * 9) * 5 * 5,
    ),
    "grouped_first_layer": (
        stepping(lambda m, x: m(x), partial(nn.Conv2d, 8, 16, 3, padding=1, groups=2), partial(torch.randn, 2, 8, 9, 9)),
        2 * 2 * (2 * 16 * 9 * 9) * (8 // 2) * 3 * 3,
    ),
    "grouped_transposed": (  # each input element meets the weights of its channel
        stepping(lambda m, x: m(x), partial(nn.ConvTranspose2d, 8, 12, 2, stride=2, groups=4), partial(leaf, 2, 8, 5, 5)),
        3 * 2 * (2 * 8 * 5 * 5) * (12 // 4) * 2 * 2,
    ),
    "grouped1d": (
        stepping(lambda m, x: m(x), partial(nn.Conv1d, 8, 8, 4, groups=8, bias=False), partial(leaf, 2, 8, 20)),
        3 * 2 * (2 * 8 * 17) * 4,
    ),
    # 2 layers in 2 directions: 4 gates of 12 meet the input, and what came before.
    "lstm": (
        on(lambda m, x: m(x)[0], partial(nn.LSTM, 8, 12, 2, bidirectional=True), partial(torch.randn, 5, 3, 8)),
        2 * (5 * 3) * 2 * 4 * 12 * ((8 + 12) + (24 + 12)),
    ),
    "lstm_backward": (
        stepping(lambda m, x: m(x)[0], partial(nn.LSTM, 8, 12), partial(leaf, 5, 3, 8)),
        3 * 2 * (5 * 3) * 4 * 12 * (8 + 12),
    ),
    # A projection of the state makes torch compose the layer of products: (48, 8), (48, 6) and (6, 12).
    "lstm_projected": (
        on(lambda m, x: m(x)[0], partial(nn.LSTM, 8, 12, proj_size=6), partial(torch.randn, 5, 3, 8)),
        2 * (5 * 3) * (48 * 8 + 48 * 6 + 6 * 12),
    ),
    "encoder_layer_in_inference": (
        on(quiet, lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval(), partial(torch.randn, 2, 5, 16)),
        2 * (2 * 5) * (4 * 16 * 16 + 2 * 16 * 32) + 4 * 2 * 5 * 5 * 16,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated", "ignore:LSTM with projections")
@pytest.mark.parametrize("name", HAND)
def test_matrix_flops_are_those_of_a_hand_count(name: str) -> None:
    make, flops = HAND[name]

    cost = traced(make).cost
    assert cost.flops == flops
    assert cost.masked_flops == cost.recomputed_flops == 0


def test_a_gru_is_as_much_again_twice_in_the_backward_pass_but_for_the_first_state() -> None:
    """Three gates of 12; the first state is zero and needs no gradient, so its product has no counterpart."""
    cost = traced(stepping(lambda m, x: m(x)[0], partial(nn.GRU, 8, 12), partial(leaf, 5, 3, 8))).cost

    forward = 2 * (5 * 3) * 3 * 12 * (8 + 12)
    assert cost.flops == 3 * forward - 2 * 3 * 3 * 12 * 12


# Attention.

HEADS, LENGTH, DEPTH = 2 * 4, 10, 8  # batch of two, four heads


def attention(
    length: int = LENGTH, keys: int = LENGTH, *, key_heads: int = 4, backward: bool = False, **options: Any
) -> Maker:
    def make() -> Callable[[], torch.Tensor]:
        q, k, v = (leaf(2, h, n, DEPTH) for h, n in ((4, length), (key_heads, keys), (key_heads, keys)))

        def call() -> torch.Tensor:
            return F.scaled_dot_product_attention(q, k, v, enable_gqa=key_heads != 4, **options)

        return backward_of(call) if backward else call

    return make


def test_fused_attention_counts_two_products() -> None:
    cost = traced(attention()).cost

    assert cost.flops == 4 * HEADS * LENGTH * LENGTH * DEPTH
    assert cost.masked_flops == 0
    assert cost.elementwise_flops == 6 * HEADS * LENGTH * LENGTH


def test_a_causal_mask_leaves_half_of_the_pairs_and_the_diagonal() -> None:
    cost = traced(attention(is_causal=True)).cost

    assert cost.flops == 4 * HEADS * (LENGTH * (LENGTH + 1) // 2) * DEPTH
    assert cost.flops_dense == 4 * HEADS * LENGTH * LENGTH * DEPTH


def test_more_keys_than_queries() -> None:
    """Query i attends to keys 0..i, so the last keys are seen by none."""
    assert traced(attention(3, 7)).cost.flops == 4 * HEADS * 3 * 7 * DEPTH
    causal = traced(attention(3, 7, is_causal=True)).cost
    assert causal.flops == 4 * HEADS * (1 + 2 + 3) * DEPTH
    assert causal.flops_dense == 4 * HEADS * 3 * 7 * DEPTH


@pytest.mark.parametrize("causal", [False, True])
def test_the_backward_of_fused_attention_is_four_products_and_one_again(causal: bool) -> None:
    cost = traced(attention(backward=True, is_causal=causal)).cost

    pairs = HEADS * (LENGTH * (LENGTH + 1) // 2 if causal else LENGTH * LENGTH)
    assert cost.flops == (2 + 4) * 2 * pairs * DEPTH
    assert cost.recomputed_flops == 2 * pairs * DEPTH


def test_fewer_heads_of_keys_change_bytes_and_not_flops() -> None:
    """Shared heads are read once: keys and values of one head in place of four."""
    name = "_scaled_dot_product_flash_attention_for_cpu"
    every = only(attention(), name)
    few = only(attention(key_heads=1), name)

    assert few.flops == every.flops
    assert every.bytes_read - few.bytes_read == 2 * FP32 * 2 * (4 - 1) * LENGTH * DEPTH


def test_fused_attention_moves_its_operands_once() -> None:
    operator = only(attention(), "_scaled_dot_product_flash_attention_for_cpu")

    assert operator.bytes_read == 3 * FP32 * HEADS * LENGTH * DEPTH
    assert operator.bytes_written == FP32 * HEADS * LENGTH * (DEPTH + 1)  # and the logarithm of each sum


@pytest.mark.parametrize("causal", [False, True])
def test_composed_attention_has_the_same_pairs_and_computes_nothing_again(causal: bool) -> None:
    def make() -> Callable[[], Any]:
        call = attention(backward=True, is_causal=causal)()

        def run() -> Any:
            with sdpa_kernel(SDPBackend.MATH):
                return call()

        return run

    cost = traced(make).cost
    pairs = HEADS * (LENGTH * (LENGTH + 1) // 2 if causal else LENGTH * LENGTH)
    assert cost.flops == (2 + 4) * 2 * pairs * DEPTH
    assert cost.flops_dense == (2 + 4) * 2 * HEADS * LENGTH * LENGTH * DEPTH
    assert cost.recomputed_flops == 0


# Elementwise FLOPs and bytes of single operators: name, maker, elementwise FLOPs, bytes read, bytes written.

N = 12
SINGLE: dict[str, tuple[str, Maker, int, int, int]] = {
    "add": ("add", on(lambda x, y: x + y, partial(torch.randn, N), partial(torch.randn, N)), N, 2 * N * 4, N * 4),
    "add_alpha": (
        "add",
        on(lambda x, y: torch.add(x, y, alpha=3), partial(torch.randn, N), partial(torch.randn, N)),
        2 * N, 2 * N * 4, N * 4,
    ),
    "add_in_place": ("add", on(lambda x, y: x.add_(y), partial(torch.randn, N), partial(torch.randn, N)), N, 2 * N * 4, N * 4),
    "add_out": (
        "add",
        on(lambda x, y, z: torch.add(x, y, out=z), partial(torch.randn, N), partial(torch.randn, N), partial(torch.empty, N)),
        N, 2 * N * 4, N * 4,
    ),
    "add_broadcast": ("add", on(lambda x, y: x + y, partial(torch.randn, 6, 4), partial(torch.randn, 4)), 24, (24 + 4) * 4, 24 * 4),
    "add_half": (
        "add",
        on(lambda x: x + x, partial(torch.randn, N, dtype=torch.bfloat16)),
        N, N * 2, N * 2,  # the same operand twice is one
    ),
    "mul_expanded": (
        "mul",
        on(lambda x, y: x.expand(6, 4) * y, partial(torch.randn, 6, 1), partial(torch.randn, 6, 4)),
        24, (6 + 24) * 4, 24 * 4,
    ),
    "exp": ("exp", on(lambda x: x.exp(), partial(torch.randn, N)), N, N * 4, N * 4),
    "gelu": ("gelu", on(F.gelu, partial(torch.randn, N)), 5 * N, N * 4, N * 4),
    "silu": ("silu", on(F.silu, partial(torch.randn, N)), 4 * N, N * 4, N * 4),
    "relu": ("relu", on(F.relu, partial(torch.randn, N)), N, N * 4, N * 4),
    "no_formula_of_its_own": ("erfinv", on(lambda x: x.erfinv(), partial(torch.rand, N)), N, N * 4, N * 4),
    "copy": ("copy", on(lambda x, y: y.copy_(x), partial(torch.randn, N), partial(torch.empty, N)), 0, N * 4, N * 4),
    "copy_spread": (
        "copy",
        on(lambda x, y: y.copy_(x), partial(torch.randn, 1, 4), partial(torch.empty, 3, 4)),
        0, 4 * 4, 12 * 4,
    ),
    "clone": ("clone", on(lambda x: x.clone(), partial(torch.randn, N)), 0, N * 4, N * 4),
    "cast": ("_to_copy", on(lambda x: x.to(torch.bfloat16), partial(torch.randn, N)), 0, N * 4, N * 2),
    "contiguous": ("clone", on(lambda x: x.T.contiguous(), partial(torch.randn, 6, 4)), 0, 24 * 4, 24 * 4),
    "expand_contiguous": ("clone", on(lambda x: x.expand(6, 4).contiguous(), partial(torch.randn, 1, 4)), 0, 16, 24 * 4),
    "cat": ("cat", on(lambda x, y: torch.cat([x, y]), partial(torch.randn, N), partial(torch.randn, 5)), 0, (N + 5) * 4, (N + 5) * 4),
    "fill": ("fill", on(lambda x: x.fill_(2.0), partial(torch.randn, N)), 0, 0, N * 4),
    "zero": ("zero", on(lambda x: x.zero_(), partial(torch.randn, N)), 0, 0, N * 4),
    "zeros_like": ("zeros_like", on(torch.zeros_like, partial(torch.randn, N)), 0, 0, N * 4),
    "new_ones": ("new_ones", on(lambda x: x.new_ones(N), partial(torch.randn, 3)), 0, 0, N * 4),
    "normal": ("normal", on(lambda x: x.normal_(), partial(torch.empty, N)), N, 0, N * 4),
    "uniform": ("uniform", on(lambda x: x.uniform_(), partial(torch.empty, N)), N, 0, N * 4),
    "bernoulli_of": ("bernoulli", on(torch.bernoulli, partial(torch.rand, N)), N, N * 4, N * 4),
    "bernoulli_in_place": ("bernoulli", on(lambda x: x.bernoulli_(0.5), partial(torch.rand, N)), N, 0, N * 4),
    "masked_fill": (
        "masked_fill",
        on(lambda x, m: x.masked_fill(m, 0.0), partial(torch.randn, N), partial(torch.zeros, N, dtype=torch.bool)),
        0, N * 4 + N, N * 4,
    ),
    "sum": ("sum", on(lambda x: x.sum(1), partial(torch.randn, 6, 4)), 24 - 6, 24 * 4, 6 * 4),
    "sum_all": ("sum", on(lambda x: x.sum(), partial(torch.randn, 6, 4)), 24 - 1, 24 * 4, 4),
    "mean": ("mean", on(lambda x: x.mean(1), partial(torch.randn, 6, 4)), 24 - 6 + 6, 24 * 4, 6 * 4),
    "norm": ("linalg_vector_norm", on(lambda x: x.norm(), partial(torch.randn, N)), N + (N - 1) + 1, N * 4, 4),
    "amax": ("amax", on(lambda x: x.amax(1), partial(torch.randn, 6, 4)), 24 - 6, 24 * 4, 6 * 4),
    "max": ("max", on(lambda x: x.max(1), partial(torch.randn, 6, 4)), 24 - 6, 24 * 4, 6 * (4 + 8)),
    "cumsum": ("cumsum", on(lambda x: x.cumsum(1), partial(torch.randn, 6, 4)), 24, 24 * 4, 24 * 4),
    "equal": (
        "equal",
        on(lambda x, y: torch.tensor(torch.equal(x, y)), partial(torch.arange, N), partial(torch.arange, N)),
        2 * N - 1, 2 * N * 8, 0,
    ),
    "addmm": (  # a bias of seven, scaled by two, times alpha: three for each result
        "addmm",
        on(lambda c, a, b: torch.addmm(c, a, b, beta=2, alpha=3), partial(torch.randn, 7), partial(torch.randn, A), partial(torch.randn, B)),
        3 * 6 * 7, (7 + 30 + 35) * 4, 42 * 4,
    ),
    "addmm_plain": (
        "addmm",
        on(torch.addmm, partial(torch.randn, 7), partial(torch.randn, A), partial(torch.randn, B)),
        6 * 7, (7 + 30 + 35) * 4, 42 * 4,
    ),
    "baddbmm_without_self": (
        "baddbmm",
        on(lambda c, a, b: torch.baddbmm(c, a, b, beta=0, alpha=0.5), partial(torch.empty, 3, 6, 7), partial(torch.randn, X3), partial(torch.randn, Y3)),
        3 * 6 * 7, 3 * (30 + 35) * 4, 3 * 42 * 4,
    ),
    "outer": ("mul", on(torch.outer, partial(torch.randn, 9), partial(torch.randn, 4)), 36, 13 * 4, 36 * 4),
    "conv_bias": (
        "convolution",
        on(lambda m, x: m(x), partial(nn.Conv2d, 3, 8, 3), partial(torch.randn, 2, 3, 6, 6)),
        2 * 8 * 16, (216 + 8 + 8 * 27) * 4, 2 * 8 * 16 * 4,
    ),
    "embedding": (  # rows, not the table of 1000
        "embedding",
        on(lambda m, i: m(i), partial(nn.Embedding, 1000, 16), partial(torch.zeros, 2, 5, dtype=torch.long)),
        0, 10 * 8 + 10 * 16 * 4, 10 * 16 * 4,
    ),
    "embedding_bag": (
        "_embedding_bag",
        on(lambda m, i: m(i), partial(nn.EmbeddingBag, 1000, 16, mode="sum"), partial(torch.zeros, 2, 5, dtype=torch.long)),
        10 * 16, 10 * 8 + 10 * 16 * 4, -1,
    ),
    "gather": (
        "gather",
        on(lambda x, i: x.gather(0, i), partial(torch.randn, 100, 9), partial(torch.zeros, 4, 9, dtype=torch.long)),
        0, 36 * (8 + 4), 36 * 4,
    ),
    "index_select": (
        "index_select",
        on(lambda x, i: x.index_select(0, i), partial(torch.randn, 100, 9), partial(torch.zeros, 4, dtype=torch.long)),
        0, 4 * 8 + 36 * 4, 36 * 4,
    ),
    "index": (
        "index",
        on(lambda x, i: x[i], partial(torch.randn, 100, 9), partial(torch.zeros, 4, dtype=torch.long)),
        0, 4 * 8 + 36 * 4, 36 * 4,
    ),
    "scatter_add": (
        "scatter_add",
        on(lambda x, i, s: x.scatter_add_(0, i, s), partial(torch.zeros, 100, 9), partial(torch.zeros, 4, 9, dtype=torch.long), partial(torch.randn, 4, 9)),
        36, 36 * (8 + 4 + 4), 36 * 4,
    ),
    "scatter_value": (
        "scatter",
        on(lambda x, i: x.scatter_(0, i, 1.0), partial(torch.zeros, 100, 9), partial(torch.zeros, 4, 9, dtype=torch.long)),
        0, 36 * 8, 36 * 4,
    ),
    "scatter_copy": (  # not in place: the whole table is copied first
        "scatter",
        on(lambda x, i, s: x.scatter(0, i, s), partial(torch.zeros, 100, 9), partial(torch.zeros, 4, 9, dtype=torch.long), partial(torch.randn, 4, 9)),
        0, 36 * (8 + 4) + 900 * 4, (36 + 900) * 4,
    ),
    "index_add": (
        "index_add",
        on(lambda x, i, s: x.index_add_(0, i, s), partial(torch.zeros, 100, 9), partial(torch.zeros, 4, dtype=torch.long), partial(torch.randn, 4, 9)),
        36, 4 * 8 + 36 * (4 + 4), 36 * 4,
    ),
    "index_fill": (
        "index_fill",
        on(lambda x, i: x.index_fill_(0, i, 1.0), partial(torch.zeros, 100, 9), partial(torch.zeros, 4, dtype=torch.long)),
        0, 4 * 8, 36 * 4,
    ),
    "index_put": (
        "index_put",
        on(lambda x, i, s: x.index_put_((i,), s), partial(torch.zeros, 100, 9), partial(torch.zeros, 4, dtype=torch.long), partial(torch.randn, 4, 9)),
        0, 4 * 8 + 36 * 4, 36 * 4,
    ),
    "index_put_one_value": (  # one value for four rows
        "index_put",
        on(lambda x, i, s: x.index_put_((i,), s, accumulate=True), partial(torch.zeros, 100, 9), partial(torch.zeros, 4, dtype=torch.long), partial(torch.randn, ())),
        36, 4 * 8 + 4 + 36 * 4, 36 * 4,
    ),
    "softmax": ("_softmax", on(lambda x: x.softmax(1), partial(torch.randn, 6, 4)), 5 * 24, 24 * 4, 24 * 4),
    "log_softmax": ("_log_softmax", on(lambda x: x.log_softmax(1), partial(torch.randn, 6, 4)), 5 * 24, 24 * 4, 24 * 4),
    "layer_norm": (  # mean and deviation of each row are written too
        "native_layer_norm",
        on(lambda m, x: m(x), partial(nn.LayerNorm, 4), partial(torch.randn, 6, 4)),
        7 * 24, (24 + 8) * 4, (24 + 12) * 4,
    ),
    "layer_norm_plain": (
        "native_layer_norm",
        on(lambda m, x: m(x), partial(nn.LayerNorm, 4, elementwise_affine=False), partial(torch.randn, 6, 4)),
        5 * 24, 24 * 4, (24 + 12) * 4,
    ),
    "group_norm": (
        "native_group_norm",
        on(lambda m, x: m(x), partial(nn.GroupNorm, 2, 4), partial(torch.randn, 3, 4, 5)),
        7 * 60, (60 + 8) * 4, (60 + 2 * 3 * 2) * 4,
    ),
    "batch_norm_in_evaluation": (
        "native_batch_norm",
        on(lambda m, x: m(x), lambda: nn.BatchNorm1d(4).eval(), partial(torch.randn, 6, 4)),
        2 * 24, (24 + 16) * 4, -1,
    ),
    "batch_norm": (
        "native_batch_norm",
        on(lambda m, x: m(x), partial(nn.BatchNorm1d, 4), partial(torch.randn, 6, 4)),
        7 * 24, (24 + 16) * 4, -1,
    ),
    "max_pool": (
        "max_pool2d_with_indices",
        on(lambda x: F.max_pool2d(x, (2, 4)), partial(torch.randn, 2, 3, 8, 8)),
        8 * (2 * 3 * 4 * 2), 384 * 4, 48 * (4 + 8),
    ),
    "avg_pool": (
        "avg_pool2d",
        on(lambda x: F.avg_pool2d(x, 2), partial(torch.randn, 2, 3, 8, 8)),
        4 * (2 * 3 * 16), 384 * 4, 96 * 4,
    ),
    "avg_pool3d": (
        "avg_pool3d",
        on(lambda x: F.avg_pool3d(x, 2), partial(torch.randn, 2, 3, 4, 4, 4)),
        8 * (2 * 3 * 8), 384 * 4, 48 * 4,
    ),
    "global_pool": (
        "mean",
        on(lambda x: F.adaptive_avg_pool2d(x, 1), partial(torch.randn, 2, 3, 8, 8)),
        384, 384 * 4, 6 * 4,
    ),
    "adaptive_pool": (
        "_adaptive_avg_pool2d",
        on(lambda x: F.adaptive_avg_pool2d(x, 2), partial(torch.randn, 2, 3, 8, 8)),
        384, 384 * 4, 24 * 4,
    ),
    "upsample_nearest": (
        "upsample_nearest2d",
        on(lambda x: F.interpolate(x, scale_factor=2), partial(torch.randn, 2, 3, 4, 4)),
        0, 96 * 4, 384 * 4,
    ),
    "upsample_bilinear": (
        "upsample_bilinear2d",
        on(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), partial(torch.randn, 2, 3, 4, 4)),
        2 * 4 * 384, 96 * 4, 384 * 4,
    ),
    "grid_sample": (
        "grid_sampler_2d",
        on(lambda x, g: F.grid_sample(x, g, align_corners=False), partial(torch.randn, 2, 3, 4, 4), partial(torch.randn, 2, 5, 5, 2)),
        2 * 4 * 150, (96 + 100) * 4, 150 * 4,
    ),
    "mse": ("mse_loss", on(F.mse_loss, partial(torch.randn, N), partial(torch.randn, N)), 3 * N, 2 * N * 4, 4),
    "mse_each": (
        "mse_loss",
        on(lambda x, y: F.mse_loss(x, y, reduction="none"), partial(torch.randn, N), partial(torch.randn, N)),
        2 * N, 2 * N * 4, N * 4,
    ),
    "topk": ("topk", on(lambda x: x.topk(2), partial(torch.randn, 6, 4)), 0, 24 * 4, 12 * (4 + 8)),
    "fft": (  # 5 n log2 n, half of it for a real input
        "_fft_r2c",
        on(torch.fft.rfft, partial(torch.randn, 3, 16)),
        3 * 5 * 16 * 4 // 2, 48 * 4, 3 * 9 * 8,
    ),
    "cdist": (
        "_euclidean_dist",
        on(torch.cdist, partial(torch.randn, 30, 5), partial(torch.randn, 40, 5)),
        1200 * (3 * 5 + 1), 70 * 5 * 4, 1200 * 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SINGLE)
def test_elementwise_flops_and_bytes_are_those_of_a_hand_count(case: str) -> None:
    name, make, vector, read, written = SINGLE[case]

    operator = only(make, name)
    assert operator.known
    assert (operator.elementwise_flops, operator.bytes_read) == (vector, read)
    if written >= 0:
        assert operator.bytes_written == written


def test_cross_entropy_reads_the_logits_once_and_writes_their_log_softmax() -> None:
    rows, classes = 6, 50

    def make() -> Callable[[], torch.Tensor]:
        logits, target = leaf(rows, classes), torch.zeros(rows, dtype=torch.long)
        return backward_of(lambda: F.cross_entropy(logits, target))

    by_name = {operator.name: operator for operator in traced(make).operators}
    table = rows * classes * FP32
    forward, picked = by_name["_log_softmax"], by_name["nll_loss_forward"]
    assert (forward.bytes_read, forward.bytes_written, forward.elementwise_flops) == (
        table,
        table,
        5 * rows * classes,
    )
    assert picked.bytes_read == rows * (8 + FP32)
    spread, last = by_name["nll_loss_backward"], by_name["_log_softmax_backward_data"]
    assert (spread.bytes_read, spread.bytes_written) == (rows * 8 + FP32, table)
    assert (last.bytes_read, last.bytes_written, last.elementwise_flops) == (
        2 * table,
        table,
        4 * rows * classes,
    )


def test_the_gradient_of_an_embedding_is_as_large_as_its_table() -> None:
    def make() -> Callable[[], torch.Tensor]:
        module, ids = nn.Embedding(1000, 16), torch.zeros(2, 5, dtype=torch.long)
        return backward_of(lambda: module(ids))

    operator = only(make, "embedding_dense_backward")
    assert operator.bytes_written == 1000 * 16 * FP32
    assert operator.bytes_read == 10 * 16 * FP32 + 10 * 8
    assert operator.elementwise_flops == 10 * 16


def test_a_layers_gradients_read_what_they_need() -> None:
    """Of a first layer the gradient of the weight alone: the weight itself is not read, of a frozen one not the input."""
    gradient, source, weight = 2 * 8 * 16 * FP32, 2 * 3 * 36 * FP32, 8 * 27 * FP32

    def first() -> Callable[[], torch.Tensor]:
        module, x = nn.Conv2d(3, 8, 3), torch.randn(2, 3, 6, 6)
        return backward_of(lambda: module(x))

    def frozen() -> Callable[[], torch.Tensor]:
        module, x = nn.Conv2d(3, 8, 3).requires_grad_(requires_grad=False), leaf(2, 3, 6, 6)
        return backward_of(lambda: module(x))

    one, other = only(first, "convolution_backward"), only(frozen, "convolution_backward")
    assert one.bytes_read == gradient + source
    assert one.elementwise_flops == 2 * 8 * 16  # the sum of the bias
    assert other.bytes_read == gradient + weight
    assert other.elementwise_flops == 0
    assert one.flops == other.flops == 2 * (2 * 8 * 16) * 27


def test_layer_norm_backward() -> None:
    """Normalise again 2, weight 1, two sums 4, combine 3, gradients of weight and bias 2 + 1: 13 for each element."""

    def make() -> Callable[[], torch.Tensor]:
        module, x = nn.LayerNorm(4), leaf(6, 4)
        return backward_of(lambda: module(x))

    assert only(make, "native_layer_norm_backward").elementwise_flops == 13 * 24


def test_dropout_in_training_is_a_mask_and_two_products() -> None:
    """On a CPU: random numbers, divided by what is kept, times the input."""

    def make() -> Callable[[], torch.Tensor]:
        x = torch.randn(N)
        return lambda: F.dropout(x, 0.5)

    assert traced(make).cost.elementwise_flops == 3 * N
    assert (
        traced(
            on(lambda x: F.dropout(x, 0.5, training=False), partial(torch.randn, N))
        ).cost.elementwise_flops
        == 0
    )


def test_a_batch_norm_in_training_has_a_backward_of_thirteen() -> None:
    def make() -> Callable[[], torch.Tensor]:
        module, x = nn.BatchNorm2d(4), leaf(3, 4, 5, 5)
        return backward_of(lambda: module(x))

    assert only(make, "native_batch_norm_backward").elementwise_flops == 13 * 300


# Optimizers: elementwise FLOPs for each parameter, whatever the implementation.

OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], int]] = {
    "sgd": (partial(torch.optim.SGD, lr=0.1), 2),
    "sgd_decay": (partial(torch.optim.SGD, lr=0.1, weight_decay=0.1), 2 + 2),
    "momentum": (partial(torch.optim.SGD, lr=0.1, momentum=0.9), 2 + 2),
    "adam": (torch.optim.Adam, 13),
    "adam_decay": (partial(torch.optim.Adam, weight_decay=0.1), 13 + 2),
    "adamw": (torch.optim.AdamW, 13 + 1),
}


@pytest.mark.parametrize("how", ["single", "foreach", "fused"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_costs_the_same_in_each_form(name: str, how: str) -> None:
    """The step's own counter is one number; the rest is arithmetic on parameters."""
    build, each = OPTIMIZERS[name]
    sizes = (300, 700)
    options = {"single": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[how]

    def make() -> Callable[[], torch.Tensor]:
        parameters = [nn.Parameter(torch.randn(size)) for size in sizes]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        optimizer = build(parameters, **options)

        def call() -> torch.Tensor:
            optimizer.step()
            return parameters[0]

        return call

    found = traced(make)
    assert not found.trace.unknown
    assert found.trace.phase("optimizer").elementwise_flops == pytest.approx(each * sum(sizes), abs=20)
    assert found.cost.flops == 0


@pytest.mark.parametrize(
    ("options", "each"),
    [
        ({"weight_decay": 0.01}, 14),
        ({"weight_decay": 0.0}, 13),
        ({"weight_decay": 0.01, "amsgrad": True}, 15),
    ],
)
def test_fused_adamw_passes_over_everything_once(options: dict[str, Any], each: int) -> None:
    """Parameters, gradients and moments are read, parameters and moments written: 28 bytes each."""

    def make() -> Callable[[], torch.Tensor]:
        parameter = nn.Parameter(torch.randn(1000))
        parameter.grad = torch.randn(1000)
        optimizer = torch.optim.AdamW([parameter], fused=True, **options)

        def call() -> torch.Tensor:
            optimizer.step()
            return parameter

        return call

    states = 3 if options.get("amsgrad") else 2
    operator = only(make, "_fused_adamw")
    assert operator.elementwise_flops == each * 1000
    assert operator.bytes_read == (2 + states) * 1000 * FP32
    assert operator.bytes_written == (1 + states) * 1000 * FP32


# Operators that need a GPU: the formula on operands written by hand, in the operator's own schema.

F16 = "float16"


def operand(*shape: int, dtype: str = "float32") -> Operand:
    one = Operand(shape, dtype, 0)
    return one._replace(nbytes=one.numel * one.item_bytes)


def called(name: str, *, writes: tuple[Operand, ...] = (), **arguments: Any) -> Work:
    """The work of a call; the arguments must be those of the operator's schema, the rest have their defaults."""
    schema = getattr(torch.ops.aten, name).default._schema.arguments
    assert not set(arguments) - {one.name for one in schema}
    full = {one.name: one.default_value for one in schema if one.has_default_value()} | arguments
    reads = tuple(one for one in full.values() if isinstance(one, Operand))
    work = work_of(OperatorCall(name, {one.name: full.get(one.name) for one in schema}, reads, writes))
    assert work is not None
    return work


@pytest.mark.parametrize("backend", ["flash", "efficient", "cudnn"])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_on_a_gpu(backend: str, causal: bool) -> None:
    """Eight query heads of sixteen, two of keys; values half as deep."""
    q, k, v = (
        operand(2, 8, 64, 16, dtype=F16),
        operand(2, 2, 64, 16, dtype=F16),
        operand(2, 2, 64, 8, dtype=F16),
    )
    out, sums = operand(2, 8, 64, 8, dtype=F16), operand(2, 8, 64)
    pairs = 2 * 8 * (64 * 65 // 2 if causal else 64 * 64)
    name = f"_scaled_dot_product_{backend}_attention"

    forward = called(name, query=q, key=k, value=v, is_causal=causal, writes=(out, sums))
    assert forward.flops == 2 * pairs * (16 + 8)
    assert forward.flops + forward.masked_flops == 2 * 2 * 8 * 64 * 64 * (16 + 8)
    assert forward.bytes_read == 2 * 2 * 64 * (8 * 16 + 2 * 16 + 2 * 8)
    assert forward.bytes_written == 2 * 2 * 8 * 64 * 8 + 4 * 2 * 8 * 64

    given = "grad_out_" if backend == "efficient" else "grad_out"
    back = called(
        f"{name}_backward",
        **{given: out},
        query=q,
        key=k,
        value=v,
        out=out,
        logsumexp=sums,
        is_causal=causal,
        writes=(q, k, v),
    )
    assert back.flops == 4 * pairs * (16 + 8)
    assert back.recomputed_flops == 2 * pairs * 16


def test_flash_attention_of_packed_sequences() -> None:
    """Three sequences of at most 20 in a row of 60: each counts as the longest."""
    q, k, v = (operand(60, heads, 16, dtype=F16) for heads in (8, 2, 2))
    ends = operand(4, dtype="int32")
    packed = {
        "query": q,
        "key": k,
        "value": v,
        "cum_seq_q": ends,
        "cum_seq_k": ends,
        "max_q": 20,
        "max_k": 20,
    }

    forward = called("_flash_attention_forward", **packed, is_causal=True, writes=(q,))
    assert forward.flops == 4 * 3 * 8 * (20 * 21 // 2) * 16
    back = called("_flash_attention_backward", **packed, is_causal=True, writes=(q, k, v))
    assert back.flops == 2 * forward.flops
    assert back.recomputed_flops == forward.flops // 2


def test_flash_attention_of_a_batch() -> None:
    q, k = operand(2, 20, 8, 16, dtype=F16), operand(2, 30, 8, 16, dtype=F16)
    batch = {"query": q, "key": k, "value": k, "max_q": 20, "max_k": 30, "is_causal": False}

    assert called("_flash_attention_forward", **batch, writes=(q,)).flops == 4 * 2 * 8 * 20 * 30 * 16
    # The backward pass gets an empty tensor where the forward one got none.
    back = called("_flash_attention_backward", **batch, cum_seq_q=operand(0, dtype="int32"), writes=(q, k, k))
    assert back.flops == 8 * 2 * 8 * 20 * 30 * 16


@pytest.mark.parametrize(("kind", "pairs"), [(0, 20 * 30), (1, 20 * 21 // 2), (2, 20 * 10 + 20 * 21 // 2)])
def test_efficient_attention_and_its_masks(kind: int, pairs: int) -> None:
    """Causal from the top left: the first query sees one key; from the bottom right: the last sees all 30."""
    q, k = operand(2, 20, 8, 16), operand(2, 30, 8, 16)
    batch = {"query": q, "key": k, "value": k, "custom_mask_type": kind}

    forward = called("_efficient_attention_forward", **batch, writes=(q,))
    assert forward.flops == 4 * 2 * 8 * pairs * 16
    assert called("_efficient_attention_backward", **batch, writes=(q, k, k)).flops == 2 * forward.flops


def test_efficient_attention_of_packed_sequences() -> None:
    q, ends = operand(1, 60, 8, 16), operand(4, dtype="int32")
    packed = {
        "query": q,
        "key": q,
        "value": q,
        "cu_seqlens_q": ends,
        "cu_seqlens_k": ends,
        "custom_mask_type": 0,
    }

    work = called("_efficient_attention_forward", **packed, max_seqlen_q=20, max_seqlen_k=20, writes=(q,))
    assert work.flops == 4 * 3 * 8 * 20 * 20 * 16


@pytest.mark.parametrize(("mode", "gates"), [(0, 1), (2, 4), (3, 3)])
def test_recurrent_layers_of_cudnn(mode: int, gates: int) -> None:
    """Two layers in two directions, over five steps of a batch of three."""
    steps, inputs, hidden = 5 * 3, 8, 12
    rows = gates * hidden
    wide = [operand(rows, inputs), operand(rows, hidden), operand(rows), operand(rows)]
    deep = [operand(rows, 2 * hidden), operand(rows, hidden), operand(rows), operand(rows)]
    layer = {
        "input": operand(5, 3, inputs), "weight": [*wide, *wide, *deep, *deep], "mode": mode, "hidden_size": hidden,
        "num_layers": 2, "bidirectional": True, "proj_size": 0,
    }  # fmt: skip

    forward = called("_cudnn_rnn", **layer, writes=(operand(5, 3, 2 * hidden),))
    assert forward.flops == 2 * steps * 2 * rows * ((inputs + hidden) + (2 * hidden + hidden))
    assert forward.elementwise_flops == steps * 2 * 2 * hidden * {0: 5, 2: 30, 3: 22}[mode]
    for to_weights in (True, False):
        mask = [True, False, False, to_weights]
        back = called("_cudnn_rnn_backward", **layer, output_mask=mask, writes=(operand(5, 3, inputs),))
        assert back.flops == (1 + to_weights) * forward.flops


def test_an_lstm_of_cudnn_with_a_projection() -> None:
    """The state is projected from 12 to 6: (48, 8), (48, 6) and (6, 12); 12 units have gates."""
    weights = [operand(48, 8), operand(48, 6), operand(48), operand(48), operand(6, 12)]
    layer = {"input": operand(5, 3, 8), "weight": weights, "mode": 2, "hidden_size": 12, "num_layers": 1}

    work = called("_cudnn_rnn", **layer, bidirectional=False, proj_size=6, writes=(operand(5, 3, 6),))
    assert work.flops == 2 * 15 * (48 * 8 + 48 * 6 + 6 * 12)
    assert work.elementwise_flops == 15 * 12 * 30


def test_products_in_eight_bits() -> None:
    a, b, scale = operand(6, 16, dtype="float8_e4m3fn"), operand(16, 32, dtype="float8_e4m3fn"), operand(1)
    out = operand(6, 32, dtype="bfloat16")

    work = called("_scaled_mm", self=a, mat2=b, scale_a=scale, scale_b=scale, writes=(out,))
    assert work == Work(2 * 6 * 32 * 16, 6 * 32, 0, 0, 6 * 16 + 16 * 32 + 2 * 4, 6 * 32 * 2)
    biased = called("_scaled_mm", self=a, mat2=b, scale_a=scale, scale_b=scale, bias=scale, writes=(out,))
    assert biased.elementwise_flops == 2 * 6 * 32
    whole = called(
        "_int_mm", self=operand(6, 16, dtype="int8"), mat2=operand(16, 32, dtype="int8"), writes=(out,)
    )
    assert whole.flops == 2 * 6 * 32 * 16


def test_products_of_a_mixture_of_experts() -> None:
    """Four experts share 20 rows; each row meets one of them."""
    rows, experts, ends = operand(20, 16), operand(4, 16, 32), operand(4, dtype="int32")

    forward = called("_grouped_mm", self=rows, mat2=experts, offs=ends, writes=(operand(20, 32),))
    assert forward.flops == 2 * 20 * 16 * 32
    # The gradient of the experts: (16, 20) @ (20, 32), the inner dimension split among them.
    back = called("_grouped_mm", self=operand(16, 20), mat2=operand(20, 32), offs=ends, writes=(experts,))
    assert back.flops == 2 * 20 * 16 * 32
    batch = called("_grouped_mm", self=operand(4, 5, 16), mat2=experts, writes=(operand(4, 5, 32),))
    assert batch.flops == 4 * 2 * 5 * 16 * 32


def test_batch_norm_of_cudnn() -> None:
    x, per_channel = operand(3, 4, 5, 5), operand(4)
    known = {"input": x, "weight": per_channel, "running_mean": per_channel, "running_var": per_channel}

    train = called("cudnn_batch_norm", **known, bias=per_channel, training=True, writes=(x,))
    assert train.elementwise_flops == 7 * 300
    assert train.bytes_read == (300 + 4 * 4) * FP32
    assert (
        called("cudnn_batch_norm", **known, bias=per_channel, training=False, writes=(x,)).elementwise_flops
        == 600
    )
    back = called("cudnn_batch_norm_backward", **known, grad_output=x, writes=(x, per_channel, per_channel))
    assert back.elementwise_flops == 13 * 300


def test_convolutions_under_other_names() -> None:
    x, w, out = operand(2, 3, 10, 10), operand(8, 3, 3, 3), operand(2, 8, 8, 8)

    flops = 2 * out.numel * 27
    assert called("cudnn_convolution", self=x, weight=w, writes=(out,)).flops == flops
    assert (
        called("mkldnn_convolution", self=x, weight=w, bias=operand(8), writes=(out,)).elementwise_flops
        == out.numel
    )
    up = called("cudnn_convolution_transpose", self=out, weight=w, writes=(x,))
    assert up.flops == flops


def test_pooling_of_mkldnn() -> None:
    pooled = operand(2, 3, 4, 4)

    work = called("mkldnn_max_pool2d", self=operand(2, 3, 8, 8), kernel_size=[2], writes=(pooled,))
    assert work.elementwise_flops == 4 * pooled.numel


def test_dropout_of_a_gpu() -> None:
    x, mask = operand(N), operand(N, dtype="bool")

    work = called("native_dropout", input=x, p=0.5, train=True, writes=(x, mask))
    assert work == Work(0, 3 * N, 0, 0, N * 4, N * 4 + N)


# The table of formulas.

# What not every torch that this runs with has.
OF_OTHER_VERSIONS = {"_scaled_mm_v2", "_upsample_bicubic2d_aa_backward"}


class Arguments(dict[str, Any]):
    """Arguments that remember which of them a formula asked for."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


def overloads(name: str) -> list[Any]:
    """The overloads of an operator that make their own result, and of its in-place sibling where it has only that."""
    schemas = [
        one
        for one in torch._C._jit_get_schemas_for_operator(f"aten::{name}")
        if one.arguments and not any(argument.is_out for argument in one.arguments)
        and "Tensor" in str([argument.type for argument in (*one.arguments, *one.returns)])
    ]  # fmt: skip
    return schemas or ([] if name.endswith("_") else overloads(f"{name}_"))


def some(argument: Any, rank: int) -> Any:
    """A value of an argument's type."""
    kind = str(argument.type)
    if argument.has_default_value() and argument.default_value is not None:
        return argument.default_value
    tensor = operand(*(4,) * rank)
    values = {
        "Tensor": tensor, "Optional[Tensor]": tensor, "List[Tensor]": [tensor], "List[Optional[Tensor]]": [tensor],
        "List[bool]": [True, True, True], "List[int]": [1, 1], "Optional[List[int]]": [1], "float": 0.5, "bool": True,
    }  # fmt: skip
    return values.get(kind, 1)


def asked_of(name: str, schema: Any) -> set[str]:
    """The names of arguments a formula may do without, on operands of the rank it takes."""
    problem: Exception | None = None
    for rank in (4, 3, 2, 1, 5):
        arguments = Arguments({argument.name: some(argument, rank) for argument in schema.arguments})
        tensor = operand(*(4,) * rank)
        try:
            work = work_of(OperatorCall(name, arguments, (tensor,), (tensor,)))
        except (ValueError, IndexError) as error:  # another rank
            problem = error
            continue
        assert work is not None
        assert all(number is not None and number >= 0 for number in work)
        return arguments.asked
    raise AssertionError(f"{name} takes no rank") from problem


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_a_formula_asks_for_arguments_its_operator_has(name: str) -> None:
    found = overloads(name)
    if not found and name in OF_OTHER_VERSIONS:
        pytest.skip("not in this torch")
    assert found, "no such operator"
    for schema in found:
        asked_of(name, schema)


def test_an_argument_that_a_formula_may_do_without_exists_somewhere() -> None:
    """A misspelt name would never be found: each must be an argument of an operator that has the same formula."""
    asked: dict[Any, set[str]] = {}
    known: dict[Any, set[str]] = {}
    for name in FORMULAS:
        code = FORMULAS.get(name).__code__  # type: ignore[union-attr]
        for schema in overloads(name):
            asked.setdefault(code, set()).update(asked_of(name, schema))
            known.setdefault(code, set()).update(argument.name for argument in schema.arguments)

    wrong = {code.co_qualname: names - known[code] for code, names in asked.items() if names - known[code]}
    assert not wrong


def test_an_operator_is_free_or_has_a_formula_not_both() -> None:
    assert not [name for name in FORMULAS if is_free(name)]


def test_a_second_formula_for_an_operator_is_refused() -> None:
    with pytest.raises(ValueError, match="two formulas for mm"):
        FORMULAS.of("mm")(lambda _: Work())


def test_an_operator_without_a_formula_is_named() -> None:
    with torch.library._scoped_library("plumbline_test", "DEF") as library:
        library.define("mystery(Tensor x) -> Tensor")
        library.impl("mystery", lambda x: x.clone(), "CompositeExplicitAutograd")
        torch.library.register_fake("plumbline_test::mystery", torch.empty_like, lib=library)

        def make() -> Callable[[], Any]:
            x = torch.randn(N)
            return lambda: torch.ops.plumbline_test.mystery(torch.ops.plumbline_test.mystery(x))

        found = traced(make)

    assert found.trace.unknown == {"plumbline_test::mystery": 2}
    (operator,) = found.operators
    assert operator.kernel
    assert not operator.known
    assert (operator.bytes_read, operator.bytes_written) == (N * 4, N * 4)  # what it moves is known


def test_the_size_of_an_element() -> None:
    sizes = {
        "float32": 4,
        "bfloat16": 2,
        "float8_e4m3fn": 1,
        "complex64": 8,
        "bool": 1,
        "int64": 8,
        "uint8": 1,
    }

    assert {name: Operand((), name, 0).item_bytes for name in sizes} == sizes
    assert str(operand(8, 128)) == "float32[8,128]"
