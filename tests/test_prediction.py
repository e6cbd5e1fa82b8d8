"""The time of a plan on this machine: traced, continued in depth, priced by models that do not exist."""

from typing import Any

import pytest
import torch

from harness.cost.trace import Traced, trace
from harness.costmodel import estimate
from harness.errors import UsageError
from harness.measure.prediction import DEEPER, SHALLOW, WHOLE, extrapolated, local, step, time_here
from harness.models.shapes import configuration
from harness.models.training import training
from harness.models.zoo import configured, depth_of
from harness.plan.answer import flops_of
from harness.plan.config import described
from harness.plan.options import Question, lengths_of
from harness.records import CostModel, Framework, Header, OperatorModel
from harness.records.architecture import Layout, Recipe
from tests import made_up

pytest.importorskip("transformers")
SIZES = {"batch": 2, "sequence": 32, "width": 64, "depth": 2, "vocabulary": 128}


def model(kind: str) -> OperatorModel:
    """A rate and nothing else: time is FLOPs or bytes over it."""
    return OperatorModel(
        kind, "float32", 10, 1e-6, 1.0, 1e10, 1e10, 1e10, 0.05, 0.03, 0.1, "case", 10**15, 10**15
    )


KINDS = ("gemm", "attention", "attention backward", "elementwise", "softmax", "normalization", "reduction")
LAWS = tuple(map(model, KINDS))
MODEL = CostModel("made-up", "cpu", 2, 1 << 24, LAWS, (Framework(1 << 20, 1e-7, 1e-6, 1e-6, 5e-6),))


def header(model: CostModel | None = MODEL) -> Header:
    return made_up.header((), cost_model=model)


def fields(architecture: str, **changes: Any) -> dict[str, Any]:
    found = configuration(architecture, SIZES)
    assert found is not None
    return found | changes


def question(config: dict[str, Any], **changes: Any) -> Question:
    model = described(config, "made-up")
    known: dict[str, Any] = {
        "model": model,
        "lengths": lengths_of(model, 2, 32),
        "tokens": 6400.0,
        "dtype": "float32",
        "recipe": Recipe("float32", "adamw"),
        "layout": Layout(),
    }
    return Question(**(known | changes))


def traced(config: dict[str, Any], depth: int) -> Traced:
    asked = question(config)
    made = configured(config, asked.lengths, depth)

    def prepare(where: torch.device) -> Any:
        with where:
            subject = made()
        return training(subject.to(where), where)

    return trace(prepare, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_what_two_depths_say_of_a_third_is_what_that_one_does(architecture: str) -> None:
    config, depth = fields(architecture), 7
    found = extrapolated(traced(config, SHALLOW).operators, traced(config, DEEPER).operators, depth)
    whole = traced(config, depth).operators

    for field in ("flops", "elementwise_flops", "bytes_read", "bytes_written"):
        continued, real = (
            sum(one.count * getattr(one, field) for one in several) for several in (found, whole)
        )
        assert continued == pytest.approx(real, rel=1e-3), field
    assert sum(one.count for one in found) == pytest.approx(sum(one.count for one in whole), rel=1e-3)


@pytest.mark.slow
def test_a_deep_model_is_continued_and_takes_as_long_as_all_of_it() -> None:
    depth = WHOLE + 4
    config = fields("llama", num_hidden_layers=depth)
    timed, continued = step(question(config), config, local(header()))
    whole = traced(config, depth)
    real = estimate(MODEL, "", whole.trace, whole.operators)

    assert continued == depth
    assert timed.seconds == pytest.approx(real.seconds, rel=0.02)


def test_the_time_of_all_tokens_is_that_of_their_steps() -> None:
    config = fields("llama")
    asked = question(config)
    need, assumed = time_here(asked, config, local(header()), flops_of(asked))

    assert need.low < need.seconds < need.high
    assert need.seconds == pytest.approx(need.step_seconds * 100)  # 6400 tokens, 64 a step
    assert need.tokens_per_second == pytest.approx(64 / need.step_seconds)
    # 190 GFLOP/s is the best that made-up machine reached in float32.
    assert need.mfu == pytest.approx(flops_of(asked).train_total / (need.seconds * 190e9))
    assert any("made-up" in one for one in assumed)


def test_what_no_run_of_one_machine_can_say_is_refused() -> None:
    config = fields("llama")
    many = question(config, layout=Layout(data=2))

    with pytest.raises(UsageError, match="has no cost model"):
        local(header(None))
    with pytest.raises(UsageError, match="--devices 2"):
        time_here(many, config, local(header()), flops_of(many))
    with pytest.raises(UsageError, match="transformers cannot read"):
        configured({"model_type": "nonsense"}, many.lengths)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bert", "t5", "mixtral"])
def test_depth_is_found_by_whatever_a_family_calls_it(architecture: str) -> None:
    assert depth_of(fields(architecture)) == 2
    assert depth_of({"depths": [2, 2]}) is None
