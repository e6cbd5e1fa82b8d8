"""`plumbline predict` and `plumbline bench --model`: models of one's own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness import store
from harness.costmodel import calibrated
from harness.measure import prediction as forecasting
from harness.measure.devices.base import named
from tests import made_up, test_costmodel
from tests.conftest import decoded
from tests.simulated import Simulated

Plumbline = Callable[..., tuple[int, str, str]]

MINE = '''
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tests import simulated


class Timed(nn.Sequential):
    def forward(self, x):
        simulated.CURRENT.submit(1e-4)  # or it takes no time where the device is a simulated one
        return super().forward(x)


def classifier():
    """128-64-10 units."""
    model = Timed(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    labels = torch.randint(10, (64,))
    return model, torch.randn(64, 128), lambda logits: cross_entropy(logits, labels)


def attention():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(32, 96)

        def forward(self, x):
            q, k, v = self.qkv(x).view(2, 16, 3, 4, 8).permute(2, 0, 3, 1, 4)
            return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    return Model(), torch.randn(2, 16, 32)


def wrong_shapes():
    return nn.Linear(3, 4), torch.randn(2, 5)


def looks():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            y = self.inner(x)
            return y if y.sum() > 0 else -y

    return Model(), torch.randn(2, 4)


def frozen():
    return nn.Linear(3, 4).requires_grad_(False), torch.randn(2, 3)


def nothing():
    return None
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_what_a_model_needs_as_json(mine: Path, plumbline: Plumbline) -> None:
    status, output, errors = plumbline("predict", f"{mine}:classifier", "--json", "--device", "cpu")
    found = decoded(output)

    parameters = 128 * 64 + 64 + 64 * 10 + 10
    first, second = 2 * 64 * 128 * 64, 2 * 64 * 64 * 10
    assert (status, errors) == (0, "")
    assert found["parameters"] == parameters
    assert found["items"] == {"samples": 64}
    assert found["forward"]["flops"] == found["forward"]["flops_dense"] == first + second
    assert found["train"]["flops"] == found["train"]["hardware_flops"] == 2 * first + 3 * second
    assert found["memory"]["parameters"] == found["memory"]["gradients"] == 4 * parameters
    assert found["memory"]["optimizer"] == pytest.approx(8 * parameters, abs=16)
    assert found["memory"]["activations"] == pytest.approx(4 * 64 * (128 + 64 + 10) + 8 * 64, abs=8)
    assert found["memory"]["peak"] > found["memory"]["parameters"] * 4
    assert found["unknown_operators"] == []
    assert found["forward"]["seconds_at_least"] is None
    assert found["peaks_from"] is None


def test_a_mask_and_what_is_computed_again_are_told_apart(mine: Path, plumbline: Plumbline) -> None:
    _, output, _ = plumbline(
        "predict", f"{mine}:attention", "--json", "--device", "cpu", "--optimizer", "sgd"
    )
    found = decoded(output)

    projection = 2 * 2 * 16 * 32 * 96
    pair = 2 * 4 * 2 * (8 + 8)  # FLOPs of one pair of positions, in all heads of the batch
    dense, counted = 16 * 16 * pair, 16 * 17 // 2 * pair
    assert found["forward"]["flops_dense"] == projection + dense
    assert found["forward"]["flops"] == projection + counted
    assert found["train"]["flops"] == 2 * projection + 3 * counted
    assert found["train"]["hardware_flops"] == 2 * projection + 3 * counted + counted // 2
    assert found["memory"]["optimizer"] == 0


def test_what_cannot_be_trained_is_predicted_in_inference(mine: Path, plumbline: Plumbline) -> None:
    status, output, _ = plumbline("predict", f"{mine}:frozen", "--json", "--device", "cpu")
    found = decoded(output)

    assert status == 0
    assert found["train"] is None
    assert found["parameters"] == 16
    assert found["forward"]["flops"] == 2 * 2 * 3 * 4
    assert (found["memory"]["parameters"], found["memory"]["gradients"]) == (64, 0)
    assert "nothing can be trained" in plumbline("predict", f"{mine}:frozen", "--device", "cpu")[1]


def test_what_a_model_prints_is_no_part_of_the_answer(mine: Path, plumbline: Plumbline) -> None:
    mine.write_text(mine.read_text() + "\n\nprint('words')\n")

    _, output, errors = plumbline("predict", f"{mine}:frozen", "--json", "--device", "cpu")

    assert decoded(output)["parameters"] == 16
    assert errors == "words\n"


def test_what_a_model_needs_as_a_table(mine: Path, plumbline: Plumbline) -> None:
    status, output, _ = plumbline("predict", f"{mine}:classifier", "--device", "cpu", "--dtype", "bfloat16")

    assert status == 0
    assert "8,906 parameters; bfloat16 autocast, adamw, cpu; a batch is 64 samples" in output
    assert "training step" in output
    assert "the optimizer sets the peak" in output
    assert "no time: this machine and device has no run" in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("mine.py:wrong_shapes",), "mine.py:wrong_shapes cannot be traced: RuntimeError: "),
        (("mine.py:looks",), "cannot be traced: it looks at values that it computes"),
        (("mine.py:nothing",), "returned NoneType: return a model and its inputs"),
        (("mine.py:absent",), "mine.py has no 'absent'"),
        (("mine",), "'mine' names no model: write module:function or file.py:function"),
        (("mine.py:classifier", "--optimizer", "lion"), "unknown optimizer 'lion': one of sgd"),
        (("mine.py:classifier", "--dtype", "int8"), "unknown precision 'int8': one of float32, bfloat16"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(
    mine: Path, plumbline: Plumbline, arguments: tuple[str, ...], complaint: str
) -> None:
    status, output, errors = plumbline("predict", *arguments, "--device", "cpu")

    assert (status, output) == (2, "")
    assert complaint in errors
    assert errors.count("\n") == 1


def test_a_model_of_ones_own_is_measured_in_inference_and_in_training(
    machine: Simulated, mine: Path, plumbline: Plumbline
) -> None:
    status, output, errors = plumbline("bench", "--model", "mine.py:classifier")
    run = store.read(store.find("latest"))

    assert errors == ""
    assert status in {0, 1}  # a simulated device takes no time for what torch does
    assert [r.case.id for r in run.results] == [
        "inference-mine.py.classifier-float32",
        "train-mine.py.classifier-float32-adamw",
    ]
    assert run.header.settings.suites == ("model:mine.py:classifier",)
    assert {r.case.suite for r in run.results} == {"model"}
    assert run.results[1].case.items == {"samples": 64}
    assert run.results[1].case.trace is not None
    assert "train-mine.py.classifier-float32-adamw" in output


def test_a_run_of_a_model_of_ones_own_can_be_gone_on_with(
    machine: Simulated, mine: Path, plumbline: Plumbline
) -> None:
    plumbline("bench", "--model", "mine.py:classifier")
    folder = store.find("latest")
    cases = (folder / store.CASES).read_bytes().splitlines(keepends=True)
    (folder / store.CASES).write_bytes(cases[0])
    header = (folder / store.HEADER).read_text()
    (folder / store.HEADER).write_text(header.replace('"finished_at": "2', '"finished_at": null, "x": "2'))

    plumbline("bench", "--resume", folder.name)

    assert len(store.read(folder).results) == 2
    assert store.read(folder).complete


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ("mine.py:nothing", "returned NoneType"),
        ("mine.py:absent", "has no 'absent'"),
        ("gone.py:f", "no file gone.py"),
    ],
)
def test_what_is_no_model_is_refused_before_anything_is_measured(
    machine: Simulated, mine: Path, plumbline: Plumbline, reference: str, complaint: str
) -> None:
    status, _, errors = plumbline("bench", "--model", reference)

    assert status == 2
    assert complaint in errors
    assert errors.count("\n") == 1
    assert not Path("results").exists()


def test_predicting_loads_no_suite_and_help_no_torch(tmp_path: Path) -> None:
    code = "import sys, harness.cli; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0


def test_the_latest_calibration_of_this_machine_says_how_long_it_takes(
    mine: Path, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, threads = named("auto")
    monkeypatch.setattr(forecasting, "capture", lambda _: made_up.environment())
    made = test_costmodel.run()
    model = calibrated(made)
    assert model is not None
    settings = msgspec.structs.replace(made.header.settings, device=name, threads=threads)
    header = msgspec.structs.replace(
        made.header, settings=settings, cost_model=msgspec.structs.replace(model, threads=threads)
    )
    store.Writer.create(Path("results"), header).close()

    found = decoded(plumbline("predict", f"{mine.name}:classifier", "--json")[1])

    assert found["calibrated_in"] == model.run
    for one in (found["forward"], found["train"]):
        assert 0 < one["seconds_low"] < one["seconds_estimate"] < one["seconds_high"]
    assert found["train"]["seconds_estimate"] > found["forward"]["seconds_estimate"]
    assert "softmax" in found["train"]["uncalibrated"]  # what was not calibrated is said
    output = plumbline("predict", f"{mine.name}:classifier")[1]
    assert f"as calibrated in {model.run}" in output
