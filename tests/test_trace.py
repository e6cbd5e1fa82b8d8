"""What a trace says of a call: its phases, its work and its memory, the last against real runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name everyone knows
from torch.utils.checkpoint import checkpoint

from harness.cost.trace import Traced, UntraceableError, trace
from harness.records import Footprint
from tests.allocations import Peaks, measured_peaks

CPU = torch.device("cpu")
FP32 = 4

Maker = Callable[[], Callable[[], Any]]


def traced(make: Maker, **options: Any) -> Traced:
    """The trace of what `make` returns; what it makes beforehand is input."""
    return trace(lambda _: make(), CPU, **options)


def names(found: Traced, phase: str) -> set[str]:
    return {operator.name for operator in found.operators if operator.phase == phase}


def training(
    build: Callable[[], nn.Module],
    inputs: Callable[[], torch.Tensor],
    optimizer: Callable[..., torch.optim.Optimizer] | None = torch.optim.SGD,
) -> Maker:
    """A train step with the sum as its loss."""

    def make() -> Callable[[], Any]:
        module, x = build(), inputs()
        stepper = optimizer(module.parameters(), lr=0.1) if optimizer else None

        def call() -> None:
            module.zero_grad()
            module(x).sum().backward()
            if stepper:
                stepper.step()

        return call

    return make


def block() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))


# Phases.


def test_a_train_step_has_three_phases() -> None:
    found = traced(training(block, lambda: torch.randn(8, 16), torch.optim.AdamW))

    forward, backward, optimizer = found.trace.phases
    assert [forward.phase, backward.phase, optimizer.phase] == ["forward", "backward", "optimizer"]
    assert forward.flops == 2 * 8 * (16 * 32 + 32 * 16)
    # Both weights, and the input of the second layer alone.
    assert backward.flops == 2 * 8 * (16 * 32 + 2 * 32 * 16)
    assert optimizer.flops == 0
    assert "gelu_backward" in names(found, "backward")
    assert found.cost.flops == forward.flops + backward.flops
    assert found.trace.parameters == 16 * 32 + 32 + 32 * 16 + 16


def test_an_inference_has_one() -> None:
    def make() -> Callable[[], Any]:
        module, x = block(), torch.randn(8, 16)
        return lambda: module(x).detach()

    found = traced(make)
    assert [phase.phase for phase in found.trace.phases] == ["forward"]
    assert found.trace.peak_phase == "forward"
    assert found.trace.phase("backward").flops == 0


@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_that_makes_nothing_is_a_phase_all_the_same(fused: bool) -> None:
    """SGD changes its parameters in place: no memory comes or goes."""

    def make() -> Callable[[], Any]:
        parameter = nn.Parameter(torch.randn(100))
        parameter.grad = torch.randn(100)
        optimizer = torch.optim.SGD([parameter], lr=0.1, fused=fused)

        def call() -> torch.Tensor:
            optimizer.step()
            return parameter

        return call

    found = traced(make)
    assert found.trace.phase("optimizer").elementwise_flops == 200
    assert found.trace.phase("optimizer").kernels == 1
    assert found.trace.phase("optimizer").peak_bytes == 2 * 100 * FP32
    assert found.cost.elementwise_flops == 200


def test_several_backward_passes_add_up() -> None:
    """Gradients are accumulated over two halves of a batch."""

    def make() -> Callable[[], Any]:
        module, halves = block(), [torch.randn(4, 16) for _ in range(2)]

        def call() -> None:
            module.zero_grad()
            for x in halves:
                module(x).sum().backward()

        return call

    once = traced(training(block, lambda: torch.randn(8, 16), None))
    twice = traced(make)
    assert twice.cost.flops == once.cost.flops
    assert [phase.phase for phase in twice.trace.phases] == ["forward", "backward"]


def test_the_backward_of_a_function_of_ones_own_is_backward() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
            context.save_for_backward(x)
            return x @ x

        @staticmethod
        def backward(context: Any, *gradients: Any) -> Any:
            (x,) = context.saved_tensors
            return gradients[0] @ x.T + x.T @ gradients[0]

    def make() -> Callable[[], Any]:
        x = torch.randn(8, 8, requires_grad=True)
        return lambda: Square.apply(x).sum().backward()  # type: ignore[no-untyped-call]

    found = traced(make)
    assert found.trace.phase("forward").flops == 2 * 8**3
    assert found.trace.phase("backward").flops == 2 * 2 * 8**3
    assert found.cost.recomputed_flops == 0


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_checkpointing_computes_again_is_hardware_work_alone(reentrant: bool) -> None:
    class Saving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = block()

        def forward(self, x: torch.Tensor) -> Any:
            return checkpoint(self.inner, x, use_reentrant=reentrant)

    def inputs() -> torch.Tensor:
        return torch.randn(8, 16, requires_grad=True)

    plain, saving = (traced(training(build, inputs, None)) for build in (block, Saving))
    forward = plain.trace.phase("forward").flops
    assert plain.cost.recomputed_flops == 0
    assert saving.cost.flops == plain.cost.flops == 3 * forward
    # Without re-entering, it stops as soon as it has what the backward pass needs: before the last product.
    assert saving.cost.recomputed_flops == (forward if reentrant else forward // 2)
    assert saving.trace.phase("backward").recomputed_flops == saving.cost.recomputed_flops
    assert saving.trace.phase("forward").flops == forward
    assert saving.trace.saved_bytes < plain.trace.saved_bytes


def test_an_operator_with_a_kernel_of_its_own_is_not_taken_apart() -> None:
    """The derivative of SiLU is a kernel, though torch could compose it of others."""
    found = traced(
        training(lambda: nn.Sequential(nn.Linear(4, 4), nn.SiLU()), lambda: torch.randn(2, 4), None)
    )

    assert "silu_backward" in names(found, "backward")
    assert "sigmoid" not in names(found, "backward")


def test_masked_work_is_kept_apart() -> None:
    def make() -> Callable[[], Any]:
        q = torch.randn(1, 2, 16, 8)
        return lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True)

    cost = traced(make).cost
    assert cost.flops == 4 * 2 * (16 * 17 // 2) * 8
    assert cost.masked_flops == 4 * 2 * (16 * 15 // 2) * 8


# Operators.


def test_a_view_is_no_kernel() -> None:
    def make() -> Callable[[], Any]:
        x = torch.randn(4, 6)
        return lambda: x.view(6, 4).T[1:].unsqueeze(0).expand(3, 3, 6).detach()

    found = traced(make)
    assert found.trace.kernels == 0
    assert found.cost.bytes_moved == 0
    assert not any(operator.kernel for operator in found.operators)
    assert found.trace.strata == ()


def test_a_new_tensor_is_no_kernel_until_it_is_written() -> None:
    assert traced(lambda: lambda: torch.empty(100)).trace.kernels == 0
    assert traced(lambda: lambda: torch.empty(100).fill_(1.0)).trace.kernels == 1


def test_in_place_and_out_variants_do_the_same_work() -> None:
    def with_result() -> Callable[[], Any]:
        x, y = torch.randn(10), torch.randn(10)
        return lambda: torch.mul(x, y)

    def in_place() -> Callable[[], Any]:
        x, y = torch.randn(10), torch.randn(10)
        return lambda: x.mul_(y)

    def out() -> Callable[[], Any]:
        x, y, z = torch.randn(10), torch.randn(10), torch.randn(10)
        return lambda: torch.mul(x, y, out=z)

    costs = [traced(make).cost for make in (with_result, in_place, out)]
    assert {(c.elementwise_flops, c.bytes_read, c.bytes_written) for c in costs} == {(10, 2 * 40, 40)}
    assert [c.memory_bytes for c in costs] == [120, 80, 120]


def test_operators_alike_are_counted_together() -> None:
    def make() -> Callable[[], Any]:
        x, y = torch.randn(8, 8), torch.randn(8, 8)
        return lambda: ((y @ x) @ x) @ x

    found = traced(make)
    (operator,) = found.operators
    assert operator.count == 3
    assert operator.inputs == ("float32[8,8]", "float32[8,8]")
    assert found.cost.flops == 3 * operator.flops


def test_work_stands_in_strata_by_dtype_and_size() -> None:
    def make() -> Callable[[], Any]:
        small, large = torch.randn(8, 8), torch.randn(64, 64, dtype=torch.bfloat16)
        return lambda: (small @ small, large @ large)

    low, high = traced(make).trace.strata
    assert (low.dtype, low.flops, low.kernels) == ("bfloat16", 2 * 64**3, 1)
    assert (high.dtype, high.flops, high.kernels) == ("float32", 2 * 8**3, 1)
    assert low.operand_bytes == 2 * 64**2  # read once, written once


# What cannot be traced.


def test_code_that_looks_at_computed_values_cannot_be_traced() -> None:
    def make() -> Callable[[], Any]:
        x = torch.randn(8)
        return lambda: x * 2 if x.sum() > 0 else x

    with pytest.raises(UntraceableError, match=r"^it looks at values that it computes \(.*\)$") as error:
        traced(make)
    assert "\n" not in str(error.value)


def test_a_result_whose_size_depends_on_values_cannot_be_traced() -> None:
    def make() -> Callable[[], Any]:
        x = torch.randn(8)
        return lambda: x[x > 0]

    with pytest.raises(UntraceableError, match="values"):
        traced(make)


def test_an_operator_without_a_rule_for_fake_tensors_is_named() -> None:
    with torch.library._scoped_library("plumbline_test", "DEF") as library:
        library.define("opaque(Tensor x) -> Tensor")
        library.impl("opaque", lambda x: x.clone(), "CPU")

        def make() -> Callable[[], Any]:
            x = torch.randn(8)
            return lambda: torch.ops.plumbline_test.opaque(x)

        with pytest.raises(UntraceableError, match=r"no rule for fake tensors.*opaque"):
            traced(make)


def test_a_mistake_in_the_call_is_told_in_one_line() -> None:
    def make() -> Callable[[], Any]:
        x = torch.randn(8, 4)
        return lambda: x.relu() + "three\nlines"  # type: ignore[operator]

    with pytest.raises(UntraceableError) as error:
        traced(make)
    assert "\n" not in str(error.value)


def test_tables_made_of_numbers_have_values() -> None:
    """The rates of ConvNeXt's stochastic depth are read from such a table."""

    def make() -> Callable[[], Any]:
        rates, x = [one.item() for one in torch.linspace(0, 0.5, 4)], torch.randn(8)
        return lambda: x * rates[2]

    assert traced(make).cost.elementwise_flops == 8


def test_torchs_own_transformer_looks_at_its_mask() -> None:
    def make() -> Callable[[], Any]:
        module = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
        mask = nn.Transformer.generate_square_subsequent_mask(5)
        a, b = torch.randn(2, 6, 8), torch.randn(2, 5, 8)
        return lambda: module(a, b, tgt_mask=mask)

    assert traced(make).cost.flops > 0


def test_integers_have_values() -> None:
    """Code that looks at lengths and indices runs as it would."""

    def make() -> Callable[[], Any]:
        lengths, x = torch.tensor([3, 5]), torch.randn(8, 4)
        return lambda: x[: int(lengths.max())] @ x.T

    assert traced(make).cost.flops == 2 * 5 * 8 * 4


# Nothing is left behind.


def hooks() -> list[int]:
    from torch.nn.modules import module
    from torch.optim import optimizer

    tables = (
        module._global_parameter_registration_hooks, module._global_buffer_registration_hooks,
        module._global_module_registration_hooks, module._global_forward_hooks, module._global_forward_pre_hooks,
        optimizer._global_optimizer_pre_hooks, optimizer._global_optimizer_post_hooks,
    )  # fmt: skip
    return [len(table) for table in tables]


@pytest.mark.parametrize("fails", [False, True])
def test_tracing_leaves_nothing_behind(fails: bool) -> None:
    def broken() -> Callable[[], Any]:
        block()
        return lambda: torch.randn(3).item()

    before = hooks()
    truncated = nn.init._no_grad_trunc_normal_
    if fails:
        with pytest.raises(UntraceableError):
            traced(broken)
    else:
        traced(training(block, lambda: torch.randn(8, 16), torch.optim.AdamW))

    assert hooks() == before
    assert nn.init._no_grad_trunc_normal_ is truncated
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    assert type(torch.randn(2)) is torch.Tensor


def test_tracing_draws_no_random_numbers() -> None:
    """Weights and dropout masks are fake: a seed set before a trace still holds after it."""
    state = torch.get_rng_state()

    traced(training(lambda: nn.Sequential(block(), nn.Dropout(0.5)), lambda: torch.randn(8, 16)))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_trace_of_the_same_call_is_the_same() -> None:
    make = training(block, lambda: torch.randn(8, 16), torch.optim.AdamW)

    assert traced(make) == traced(make)


# Parameters.


class Tied(nn.Module):
    """One matrix for what goes in and what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.embedding(ids))
        return result


def test_tied_weights_count_once() -> None:
    def make() -> Callable[[], Any]:
        module, ids = Tied(), torch.zeros(4, dtype=torch.long)
        return lambda: module(ids)

    found = traced(make).trace
    assert found.parameters == 50 * 8
    assert found.held.parameters == 50 * 8 * FP32


def test_frozen_parameters_are_parameters_without_gradients() -> None:
    def build() -> nn.Module:
        module = nn.Sequential(nn.Linear(16, 32), nn.Linear(32, 8))
        module[0].requires_grad_(requires_grad=False)
        return module

    found = traced(training(build, lambda: torch.randn(4, 16)))
    first, second = 16 * 32 + 32, 32 * 8 + 8
    assert found.trace.parameters == first + second
    assert found.trace.held.parameters == (first + second) * FP32
    assert found.trace.held.gradients == second * FP32
    assert found.trace.phase("backward").flops == 2 * 4 * 32 * 8  # one weight, and no input


def test_parameters_of_copied_modules_count() -> None:
    """torch's own encoder makes its layers by copying the first."""

    def make() -> Callable[[], Any]:
        layer = nn.TransformerEncoderLayer(8, 2, 16)
        module, x = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), torch.randn(4, 2, 8)
        del layer
        return lambda: module(x)

    per_layer = 4 * (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 2 * 2 * 8
    found = traced(make).trace
    assert found.parameters == 3 * per_layer
    assert found.held.parameters == 3 * per_layer * FP32


@pytest.mark.parametrize("change", [lambda m: m.bfloat16(), lambda m: m.to(dtype=torch.bfloat16)])
def test_a_module_may_change_its_dtype(change: Callable[[nn.Module], nn.Module]) -> None:
    def make() -> Callable[[], Any]:
        module = change(nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32)))
        x = torch.randn(4, 16, dtype=torch.bfloat16)
        return lambda: module(x)

    found = traced(make)
    assert found.trace.parameters == 16 * 32 + 32 + 2 * 32
    assert found.trace.held.parameters == found.trace.parameters * 2
    assert found.trace.held.buffers == 2 * 32 * 2 + 8
    assert found.cost.flops == 2 * 4 * 16 * 32


# Memory by hand.

BATCH, WIDTHS = 64, (128, 256, 10)


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 10))


def test_the_footprint_of_a_perceptron() -> None:
    """A step of Adam with momentum kept: all gradients are there, and each parameter has two states and a counter."""
    found = traced(training(perceptron, lambda: torch.randn(BATCH, 128), torch.optim.Adam)).trace

    size = (128 * 256 + 256 + 256 * 10 + 10) * FP32
    held = found.held
    assert held.parameters == size
    assert held.gradients == size
    assert held.optimizer == 2 * size + 4 * FP32
    assert held.inputs == BATCH * 128 * FP32
    assert held.buffers == 0
    # ReLU keeps its result, which the second layer keeps too; the first layer keeps the input.
    assert found.saved_bytes == BATCH * (128 + 256) * FP32


def test_the_peak_of_a_product() -> None:
    def make() -> Callable[[], Any]:
        a, b = torch.randn(100, 200), torch.randn(200, 50)
        return lambda: a @ b

    found = traced(make).trace
    inputs, result = (100 * 200 + 200 * 50) * FP32, 100 * 50 * FP32
    assert found.footprint == Footprint(inputs=inputs, activations=result)
    assert found.phase("forward").peak_bytes == inputs + result


def test_what_is_let_go_is_not_held() -> None:
    """1 MiB of input; relu makes another, exp a third while that lives, then it goes and the cosine takes its place."""

    def make() -> Callable[[], Any]:
        x = torch.randn(512, 512)
        return lambda: torch.relu(x).exp().cos()

    found = traced(make)
    assert found.cost.memory_bytes == 3 * 2**20


def test_the_call_that_comes_first_leaves_nothing_behind() -> None:
    """ReLU keeps its own result: who looks at what is kept must not keep it alive."""

    def make() -> Callable[[], Any]:
        module, x = perceptron(), torch.randn(BATCH, 128)
        return lambda: module(x)

    found = traced(make)
    assert found.trace.held.inputs == BATCH * 128 * FP32
    assert found.cost.memory_bytes == traced(make, first=False).cost.memory_bytes
    assert found.trace.saved_bytes == BATCH * (128 + 256) * FP32


def test_the_phase_of_the_peak() -> None:
    """A wide batch peaks with its activations, a wide model in its optimizer."""
    wide_batch = traced(training(perceptron, lambda: torch.randn(8192, 128), torch.optim.Adam)).trace
    wide_model = traced(
        training(lambda: nn.Linear(1024, 1024), lambda: torch.randn(2, 1024), torch.optim.Adam)
    ).trace

    assert wide_batch.peak_phase == "backward"
    assert wide_model.peak_phase == "optimizer"
    assert wide_batch.footprint.total == wide_batch.phase("backward").peak_bytes
    assert wide_model.footprint.total == wide_model.phase("optimizer").peak_bytes


# Memory against real runs.


class Phases(NamedTuple):
    """The parts of a train step, and its model."""

    module: nn.Module
    forward: Callable[[], Any]
    backward: Callable[[], Any]
    optimizer: Callable[[], Any]


def language_model(kind: str) -> tuple[nn.Module, Callable[[], torch.Tensor]]:
    """A small language model of transformers, without dropout, and its loss."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 512}
    if kind == "gpt2":
        config = transformers.GPT2Config(
            n_embd=128, n_layer=2, n_head=4, vocab_size=512, resid_pdrop=0.0, attn_pdrop=0.0, embd_pdrop=0.0,
            bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        module = transformers.GPT2LMHeadModel(config)
    elif kind == "bert":
        config = transformers.BertConfig(
            **sizes, intermediate_size=512, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        module = transformers.BertForMaskedLM(config)
    elif kind == "llama":
        config = transformers.LlamaConfig(
            **sizes, intermediate_size=344, num_key_value_heads=2, use_cache=False
        )
        module = transformers.LlamaForCausalLM(config)
    elif kind == "mixtral":
        config = transformers.MixtralConfig(
            **sizes, intermediate_size=256, num_key_value_heads=2, num_local_experts=4, use_cache=False
        )
        module = transformers.MixtralForCausalLM(config)
    else:
        config = transformers.T5Config(
            d_model=128, d_ff=256, d_kv=32, num_layers=2, num_heads=4, vocab_size=512, decoder_start_token_id=0
        )  # fmt: skip
        module = transformers.T5ForConditionalGeneration(config)
    ids = torch.randint(0, 512, (2, 128))
    return module.train(), lambda: module(input_ids=ids, labels=ids).loss


def perceptron_and_loss() -> tuple[nn.Module, Callable[[], torch.Tensor]]:
    module, x = perceptron(), torch.randn(BATCH, 128)
    target = torch.zeros(BATCH, dtype=torch.long)
    return module, lambda: F.cross_entropy(module(x), target)


def convolutions_and_loss() -> tuple[nn.Module, Callable[[], torch.Tensor]]:
    layers: list[nn.Module] = []
    for channels in (3, 16, 16):
        layers += [nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    module = nn.Sequential(*layers, nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    x, target = torch.randn(8, 3, 24, 24), torch.zeros(8, dtype=torch.long)
    return module, lambda: F.cross_entropy(module(x), target)


REAL: dict[str, Callable[[], tuple[nn.Module, Callable[[], torch.Tensor]]]] = {
    "mlp": perceptron_and_loss,
    "cnn": convolutions_and_loss,
    "gpt2": lambda: language_model("gpt2"),
    "bert": lambda: language_model("bert"),
    "llama": lambda: language_model("llama"),
}


def phases(name: str, dtype: str) -> Phases:
    module, loss_of = REAL[name]()
    optimizer = torch.optim.AdamW(module.parameters())
    losses: list[torch.Tensor] = []

    def forward() -> None:
        optimizer.zero_grad()
        with autocast(dtype):
            losses.append(loss_of())

    def backward() -> None:
        losses.pop().backward()  # type: ignore[no-untyped-call]

    return Phases(module, forward, backward, optimizer.step)


def autocast(dtype: str) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16) if dtype == "bfloat16" else nullcontext()


def traced_step(name: str, dtype: str) -> Traced:
    def make() -> Callable[[], Any]:
        step = phases(name, dtype)

        def call() -> None:
            step.forward()
            step.backward()
            step.optimizer()

        return call

    return traced(make)


def really_saved(step: Phases) -> int:
    """Bytes that a real forward pass keeps for the backward one, parameters and buffers apart."""
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.detach())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step.forward()
    own = {
        parameter.untyped_storage().data_ptr()
        for parameter in (*step.module.parameters(), *step.module.buffers())
    }
    sizes = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in kept}
    return sum(size for place, size in sizes.items() if place not in own)


def really_peaks(name: str, dtype: str) -> Peaks:
    """The most memory in each phase of a second step."""

    def prepare() -> dict[str, Callable[[], Any]]:
        step = phases(name, dtype)
        parts = {"forward": step.forward, "backward": step.backward, "optimizer": step.optimizer}
        for part in parts.values():
            part()
        return parts

    return measured_peaks(prepare)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", REAL)
def test_saved_activations_are_those_of_a_real_run(name: str, dtype: str) -> None:
    assert traced_step(name, dtype).trace.saved_bytes == pytest.approx(
        really_saved(phases(name, dtype)), rel=0.02
    )


# The mean of bfloat16 values is that of a copy in float32, which torch makes and frees inside one operator.
COPIES = {("cnn", "bfloat16"): {"forward": 8 * 16 * 12 * 12 * FP32}}


@pytest.mark.instructions
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", REAL)
def test_the_peak_of_each_phase_is_that_of_a_real_run(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINETO_LOG_LEVEL", "99")
    found, real = traced_step(name, dtype).trace, really_peaks(name, dtype).kept
    copies = COPIES.get((name, dtype), {})
    peaks = {phase.phase: phase.peak_bytes + copies.get(phase.phase, 0) for phase in found.phases}

    assert found.footprint.total == pytest.approx(max(real.values()), rel=0.001)
    assert peaks == pytest.approx(real, rel=0.001)


# Larger architectures.


@pytest.mark.parametrize("kind", ["mixtral", "t5"])
def test_other_language_models_trace(kind: str) -> None:
    def make() -> Callable[[], Any]:
        _, loss_of = language_model(kind)
        return lambda: loss_of().backward()  # type: ignore[no-untyped-call]

    found = traced(make)
    assert not found.trace.unknown
    assert found.trace.phase("backward").flops == 2 * found.trace.phase("forward").flops


def test_experts_work_on_the_rows_they_are_given() -> None:
    """Two of four experts for each of 2 x 128 tokens, each three products of 128 by 256."""

    def make() -> Callable[[], Any]:
        _, loss_of = language_model("mixtral")
        return loss_of

    found = traced(make)
    grouped = sum(
        operator.count * operator.flops for operator in found.operators if operator.name == "_grouped_mm"
    )
    assert grouped == 2 * (2 * 256) * 3 * 128 * 256 * 2  # in two layers


def test_a_vision_transformer_traces() -> None:
    transformers = pytest.importorskip("transformers")

    def make() -> Callable[[], Any]:
        config = transformers.ViTConfig(
            hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96, image_size=32,
            patch_size=8, num_labels=10,
        )  # fmt: skip
        module, x = transformers.ViTForImageClassification(config), torch.randn(2, 3, 32, 32)
        return lambda: module(pixel_values=x).logits.sum().backward()

    found = traced(make).trace
    tokens = 4 * 4 + 1
    layer = 2 * tokens * (4 * 48 * 48 + 2 * 48 * 96) + 4 * tokens * tokens * 48
    assert not found.unknown
    assert found.phase("forward").flops == 2 * (2 * 16 * 48 * 3 * 8 * 8 + 2 * layer + 2 * 48 * 10)
