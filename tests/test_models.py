"""Whole models: they train, they infer, what they cost is what was said; and models of one's own."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import Unsupported
from harness.cost.trace import trace
from harness.errors import UsageError
from harness.models import ARCHITECTURES, Subject, build, decoding, forward, load, training
from harness.workload import Call, Step, phases_of
from tests.allocations import measured_peaks

CPU = torch.device("cpu")
DIGITS = {"batch": 64, "inputs": 128, "width": 64, "depth": 1, "classes": 10}
IMAGES = {"batch": 2, "image": 64}
# Enough of them that the scratch memory of the first convolution, which no trace sees, sets no peak.
PATCHES = {"batch": 8, "image": 96, "width": 192, "depth": 4}
TEXT = {"batch": 2, "sequence": 64, "width": 128, "depth": 2, "vocabulary": 512}
SIZES = {
    "mlp": DIGITS,
    "alexnet": {"batch": 2, "image": 96},
    "inception_v3": {"batch": 2, "image": 107},
    "resnet18": IMAGES,
    "resnet50": IMAGES,
    "vgg16": {"batch": 1, "image": 64},
    "vit": PATCHES,
    **dict.fromkeys(("bert", "gpt2", "t5", "llama", "mixtral"), TEXT),
}
# Too large to run in a test: traced alone.
LARGE = {"alexnet", "inception_v3", "resnet50", "vgg16"}


def stepping(name: str, dtype: str = "float32", optimizer: str = "adamw") -> Callable[[torch.device], Call]:
    return lambda device: training(build(name, SIZES[name], device), device, optimizer=optimizer, dtype=dtype)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_operator_of_a_training_step_has_a_formula(name: str) -> None:
    found = trace(stepping(name), CPU).trace

    assert found.unknown == {}
    assert [phase.phase for phase in found.phases] == ["forward", "backward", "optimizer"]
    assert found.phase("optimizer").flops == 0
    # Each product of the forward pass has two in the backward pass, apart from the first layer's.
    assert 1.0 < found.phase("backward").flops / found.phase("forward").flops <= 2.0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.instructions if name in {"mlp", "resnet18"} else ())
        for name in ARCHITECTURES
        if name not in LARGE
    ],
)
def test_the_peak_of_a_step_is_what_the_trace_says(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINETO_LOG_LEVEL", "99")
    said = trace(stepping(name, dtype), CPU)
    real = measured_peaks(lambda: phases_of(stepping(name, dtype)(CPU))).kept

    assert list(real) == ["forward", "backward", "optimizer"]
    assert {phase.phase: phase.peak_bytes for phase in said.trace.phases} == pytest.approx(real, rel=0.001)
    assert said.cost.memory_bytes == pytest.approx(max(real.values()), rel=0.001)
    assert max(real, key=lambda phase: real[phase]) == said.trace.peak_phase


@pytest.mark.parametrize(
    ("optimizer", "states", "each"), [("sgd", 0, 2), ("momentum", 1, 4), ("adam", 2, 13), ("adamw", 2, 14)]
)
def test_an_optimizer_keeps_its_states_and_does_its_work(optimizer: str, states: int, each: int) -> None:
    found = trace(stepping("mlp", optimizer=optimizer), CPU).trace
    parameters = 128 * 64 + 64 + 64 * 10 + 10

    assert found.parameters == parameters
    assert found.held.gradients == 4 * parameters
    assert found.held.optimizer == pytest.approx(4 * parameters * states, abs=4 * 4)  # and a step count each
    assert found.phase("optimizer").elementwise_flops == pytest.approx(each * parameters, rel=0.001)


def test_the_work_of_the_mlp_by_hand() -> None:
    found = trace(stepping("mlp"), CPU).trace

    first, second = 2 * 64 * 128 * 64, 2 * 64 * 64 * 10
    assert found.phase("forward").flops == first + second
    assert found.phase("backward").flops == first + 2 * second  # the input needs no gradient
    assert found.saved_bytes == pytest.approx(4 * (64 * 128 + 64 * 64 + 64 * 10) + 8 * 64, abs=8)


def test_decoding_reads_the_cache_and_does_a_product_with_each_weight() -> None:
    sizes = {"batch": 3, "cached": 40, "width": 128, "depth": 2, "vocabulary": 512}
    found = trace(lambda device: decoding("gpt2", sizes, device, dtype="float32"), CPU, first=False)

    weights = 2 * 12 * 128**2 + 512 * 128
    attention = 2 * 4 * 128 * 41  # both layers, Q K^T and P V, over the cache and the token itself
    assert found.cost.flops == 3 * (2 * weights + attention)


def test_decoding_leaves_the_cache_as_it_was() -> None:
    sizes = {"batch": 1, "cached": 16, "width": 64, "depth": 1, "vocabulary": 64}
    call = decoding("llama", sizes, CPU, dtype="float32")

    assert torch.equal(call(), call())


def test_inference_takes_no_loss_for_its_output() -> None:
    logits = forward(build("gpt2", TEXT, CPU))()

    assert logits.shape == (2, 64, 512)


@pytest.mark.slow
def test_checkpointing_computes_again_what_it_does_not_keep() -> None:
    def prepare(device: torch.device) -> Call:
        subject = build("gpt2", TEXT, device)
        subject.model.activation_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
        return training(subject, device)

    plain, found = trace(stepping("gpt2"), CPU), trace(prepare, CPU)
    tokens, width = 2 * 64, 128
    blocks = plain.trace.phase("forward").flops - 2 * tokens * width * 512  # all but the head
    # torch stops when it has what the backward pass needs: the last product of a block is not computed again.
    last = 2 * 2 * tokens * 4 * width * width

    assert found.cost.flops == plain.cost.flops
    assert found.cost.recomputed_flops - plain.cost.recomputed_flops == blocks - last
    assert found.trace.saved_bytes < plain.trace.saved_bytes / 2


class Evaluated:
    """Accuracy, and recall and F1 as means over classes."""

    def __init__(self, said: torch.Tensor, true: torch.Tensor, classes: int) -> None:
        hits = torch.zeros(classes, classes).index_put_((true, said), torch.ones(len(true)), accumulate=True)
        right = hits.diagonal()
        self.accuracy = float(right.sum() / hits.sum())
        recall = right / hits.sum(1).clamp(min=1)
        precision = right / hits.sum(0).clamp(min=1)
        self.recall = float(recall.mean())
        self.f1 = float((2 * recall * precision / (recall + precision).clamp(min=1e-9)).mean())


def fitted(
    model: nn.Module, make: Callable[[int], tuple[torch.Tensor, torch.Tensor]], steps: int, dtype: str
) -> float:
    """Trains on a new batch each step, and evaluates on one it has not seen; the least of the three measures."""
    x, y = make(128)
    held = {"x": x, "y": y}

    def loss(output: Any) -> torch.Tensor:
        return nn.functional.cross_entropy(getattr(output, "logits", output), held["y"])

    step = training(Subject(model, (x,), {}, loss), CPU, optimizer="adamw", dtype=dtype)
    for group in _optimizer(step).param_groups:
        group["lr"] = 3e-3
    for _ in range(steps):
        new_x, held["y"] = make(128)
        x.copy_(new_x)
        step()
    x, y = make(512)
    with torch.inference_mode():
        output = model.eval()(x)
    found = Evaluated(getattr(output, "logits", output).argmax(-1), y, 10)
    return min(found.accuracy, found.recall, found.f1)


def _optimizer(step: Step) -> torch.optim.Optimizer:
    """The optimizer inside a step."""
    cells = step.phases["optimizer"].__closure__ or ()
    return next(c.cell_contents for c in cells if isinstance(c.cell_contents, torch.optim.Optimizer))


@pytest.mark.instructions
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_steps_train_a_classifier_of_vectors(dtype: str) -> None:
    torch.manual_seed(1)
    centres = torch.randn(10, 128)

    def make(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.randint(10, (count,))
        return centres[y] + torch.randn(count, 128), y

    assert fitted(build("mlp", DIGITS, CPU).model, make, 60, dtype) > 0.95


def test_steps_train_a_classifier_of_sequences() -> None:
    torch.manual_seed(1)
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=128,
        vocab_size=100,
        num_labels=10,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )

    def make(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The class is the tens digit of most tokens."""
        y = torch.randint(10, (count,))
        tokens = 10 * y[:, None] + torch.randint(10, (count, 8))
        noise = torch.rand(count, 8) < 0.3
        return torch.where(noise, torch.randint(100, (count, 8)), tokens), y

    assert fitted(transformers.BertForSequenceClassification(config), make, 60, "float32") > 0.9


def test_an_mlp_on_squared_errors_trains_too() -> None:
    torch.manual_seed(1)
    step = training(build("mlp", DIGITS, CPU, loss="mse"), CPU, optimizer="adam")
    for group in _optimizer(step).param_groups:
        group["lr"] = 1e-2
    first = float(step())
    for _ in range(50):
        last = float(step())

    assert last < first / 2


def test_bad_words_are_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="unknown architecture 'gpt5': one of mlp, alexnet"):
        build("gpt5", TEXT, CPU)
    with pytest.raises(UsageError, match="unknown optimizer 'lion': one of sgd, momentum, adam, adamw"):
        training(build("mlp", DIGITS, CPU), CPU, optimizer="lion")
    with pytest.raises(UsageError, match="unknown precision 'int4': one of float32, bfloat16"):
        forward(build("mlp", DIGITS, CPU), dtype="int4")


@pytest.mark.parametrize("name", ["gpt2", "alexnet"])
def test_a_library_that_is_not_there_skips_a_case_and_says_how_to_get_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(importlib, "import_module", absent)

    with pytest.raises(Unsupported, match=r"needs .*: pip install 'torch-plumbline\[models\]'"):
        build(name, SIZES[name], CPU)


OWN = """
import torch
from torch import nn

def good():
    return nn.Linear(4, 3), torch.randn(5, 4)

def named():
    return nn.Linear(4, 3), {"input": torch.randn(5, 4)}, lambda y: y.sum()

def number():
    return 3

def no_inputs():
    return nn.Linear(4, 3), "x"

def strange_loss():
    return nn.Linear(4, 3), torch.randn(5, 4), 7

def broken():
    raise ValueError("no weights\\nhere")

constant = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return path


def test_a_model_of_ones_own_is_a_model_with_its_inputs(own: Path) -> None:
    good, named = load(f"{own}:good")(), load(f"{own}:named")()

    assert good.items == {"samples": 5}
    assert good.loss_of(good.output()).ndim == 0
    assert list(named.named) == ["input"]
    assert named.loss is not None


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("mine", "names no model: write module:function or file.py:function"),
        (":good", "names no model"),
        ("mine.py:none", "has no 'none'"),
        ("mine.py:constant", "is int, not a function"),
        ("nowhere.py:f", "no file nowhere.py"),
        ("no_such_module:f", "cannot import no_such_module: ModuleNotFoundError"),
        ("mine.py:number", "returned int: return a model and its inputs"),
        ("mine.py:no_inputs", "returned str as its inputs: return a model"),
        ("mine.py:strange_loss", "returned int as its loss: return a model"),
        ("mine.py:broken", "failed: ValueError: no weights here"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(own: Path, reference: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(reference)()

    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_trained_on() -> None:
    class Output(dict[str, Any]):
        pass

    scalar, matrix = torch.tensor(2.0), torch.full((2, 2), 3.0)
    subject = Subject(nn.Linear(1, 1))

    assert float(subject.loss_of(Output(loss=scalar, logits=matrix))) == 2.0
    assert float(subject.loss_of(scalar)) == 2.0
    assert float(subject.loss_of((matrix, scalar))) == 9.0  # the mean of its squares
    with pytest.raises(UsageError, match="holds no floating-point tensor"):
        subject.loss_of(torch.tensor([1]))
    with pytest.raises(UsageError, match="the loss returned float, not a tensor"):
        Subject(nn.Linear(1, 1), loss=lambda _: 1.0).loss_of(scalar)  # type: ignore[arg-type,return-value]
    with pytest.raises(UsageError, match=r"of shape \(2, 2\), not a single number"):
        Subject(nn.Linear(1, 1), loss=lambda y: y).loss_of(matrix)


def test_a_step_returns_its_last_word() -> None:
    step = Step(first=lambda: torch.tensor(1.0), second=lambda: None)

    assert float(step()) == 1.0
