"""The public API: what a user calls from Python, and `plumbline time`."""

import ast
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
import torch
from torch import nn

import harness
import plumbline as pl
from harness import store
from harness.api import calls, comparing, counting, timing
from harness.compare.decision import Effect
from harness.cost.trace import trace
from harness.cost.trace.live import LiveCount
from harness.errors import NothingMeasuredError, UsageError
from harness.measure import prediction as forecast
from harness.models.subject import Subject
from harness.models.training import training
from harness.records import Run
from harness.records.comparison import Decision
from harness.version import version
from harness.workload import Call, Workload
from tests import made_up, simulated

ROOT = Path(__file__).resolve().parent.parent
Runner = Callable[..., tuple[int, str, str]]
OUTPUT = torch.ones(4)


@pytest.fixture(autouse=True)
def no_peaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No peak is measured, and none is found among the runs of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(calls, "quick_peak", lambda *_: 1e12)


def taking(microseconds: int) -> Callable[[], torch.Tensor]:
    """A function that takes so long on the simulated device."""
    return lambda: simulated.work("steady", microseconds, OUTPUT)


# The module


def test_importing_loads_no_torch() -> None:
    code = "import sys, plumbline; dir(plumbline); plumbline.Workload; plumbline.plan; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


def test_all_names_are_there_and_no_others() -> None:
    own = {"bench", "compare", "count", "fit", "load", "plan", "predict", "read", "report"}

    assert set(pl.__all__) == own | set(harness.__all__)
    assert dir(pl) == sorted(pl.__all__)
    assert all(getattr(pl, name) is not None for name in pl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'torch'"):
        getattr(pl, "torch")  # noqa: B009 - it is not there


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse((ROOT / "plumbline.py").read_text())
    imported = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness")
        for name in node.names
    }

    assert imported == set(pl.__all__)


def test_the_version_is_that_of_the_package_or_of_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pl.__version__ == harness.__version__ == version()
    monkeypatch.setattr("harness.version.DISTRIBUTION", "no-such-distribution")
    assert version().endswith("+checkout")


# bench


def test_the_time_of_a_function_is_read_exactly(machine: simulated.Simulated) -> None:
    found = pl.bench(taking(100), seconds=0.1)

    assert found.median == pytest.approx(100e-6, rel=1e-3)
    assert found.interval[0] <= found.median <= found.interval[1]
    assert (found.processes, found.device, found.name) == (1, "simulated", "<lambda>")
    assert (found.flops, found.flops_per_second, found.peak_memory_bytes) == (0, None, None)
    assert found.fraction_of_peak is None


def test_one_process_says_that_its_interval_is_of_one_process(machine: simulated.Simulated) -> None:
    lines = repr(pl.bench(taking(100), seconds=0.1)).splitlines()

    assert len(lines) <= 6
    assert lines[0].startswith("<lambda>: 100 µs ±")
    assert "of this process alone" in lines[1]


def test_several_processes_are_fresh_workers_and_know_more(machine: simulated.Simulated) -> None:
    before = simulated.InProcess.started
    found = pl.bench(taking(100), seconds=0.1, processes=3)

    assert (found.processes, simulated.InProcess.started - before) == (3, 3)
    assert found.interval == found.measurement.interval
    assert "of an independent repeat" in repr(found)


def test_work_is_counted_and_set_against_the_peak() -> None:
    a = torch.randn(16, 32)
    found = pl.bench(lambda b: a @ b, torch.randn(32, 8), seconds=0.01)

    assert (found.flops, found.bytes_moved) == (2 * 16 * 32 * 8, 4 * (16 * 32 + 32 * 8 + 16 * 8))
    assert found.peak_memory_bytes == found.bytes_moved
    assert found.fraction_of_peak == pytest.approx(found.flops / found.median / 1e12)
    assert found.roof.source == "measured now"
    assert "measured now" in repr(found)


def test_the_peak_of_a_stored_run_of_this_machine_counts_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "capture", lambda *_: made_up.environment())
    run = made_up.run()
    settings = msgspec.structs.replace(run.header.settings, threads=2)
    header = msgspec.structs.replace(run.header, settings=settings, peaks=(made_up.PEAKS,))
    store.Writer.create(tmp_path / "results", header).close()

    found = pl.bench(torch.mm, torch.ones(8, 8), torch.ones(8, 8), seconds=0.01, threads=2)

    assert found.roof == (190e9, 100e9, f"run {header.id}")


def test_a_dtype_without_a_known_peak_says_so() -> None:
    a = torch.ones(4, 4, dtype=torch.complex64)
    found = pl.bench(torch.add, a, a, seconds=0.01)

    assert found.fraction_of_peak is None
    assert "no measured bandwidth" in repr(found)


def test_any_callable_can_be_timed() -> None:
    """What returns nothing, or NaN, or lies on another device, is timed all the same."""
    for function in (
        lambda: None,
        lambda: torch.full((2,), float("nan")),
        lambda: (1, "text"),
        lambda: torch.empty(2, device="meta"),
        nn.Identity(),
    ):
        arguments = (OUTPUT,) if isinstance(function, nn.Module) else ()
        assert pl.bench(function, *arguments, seconds=0.01).samples > 0


def test_what_a_function_raises_is_the_users_own() -> None:
    with pytest.raises(ZeroDivisionError):
        pl.bench(lambda: 1 // 0)


def test_a_function_that_breaks_later_is_named(machine: simulated.Simulated) -> None:
    left = iter(range(1))

    def once() -> torch.Tensor:
        next(left)
        return OUTPUT

    with pytest.raises(NothingMeasuredError, match="once: StopIteration"):
        pl.bench(once, seconds=0.01)


async def later() -> None:
    """Returns before it has run."""


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((3,), {}, r"bench\(fn\): int is not callable; write `lambda: f\(x\)`"),
        ((later,), {}, "later returns before its work is done"),
        ((taking(1),), {"seconds": 0}, "seconds=0: write a number above 0"),
        ((taking(1),), {"processes": 0}, "processes=0: write 1"),
        ((taking(1),), {"threads": 0}, "threads=0: write 1 or more"),
        ((taking(1),), {"device": "tpu"}, "no device 'tpu' here"),
        ((torch.abs, OUTPUT), {"device": "cuda"}, "the call uses tensors on cpu"),
    ],
)
def test_wrong_arguments_get_one_line(arguments: Any, options: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        pl.bench(*arguments, **options)
    assert "\n" not in str(raised.value)


def test_measuring_leaves_the_process_as_it_was(machine: simulated.Simulated) -> None:
    gc.unfreeze()  # another test of this process may have frozen objects
    threads, frozen = torch.get_num_threads(), gc.get_freeze_count()
    pl.bench(taking(10), seconds=0.01, threads=1)
    pl.compare(taking(10), taking(20), seconds=0.01, threads=1)

    assert (torch.get_num_threads(), gc.get_freeze_count(), gc.isenabled()) == (threads, frozen, True)


@dataclass(frozen=True)
class Waiting(Workload):
    microseconds: int

    def prepare(self, device: torch.device) -> Call:
        return lambda: simulated.work("steady", self.microseconds, OUTPUT)


def test_a_workload_is_measured_as_it_is(machine: simulated.Simulated) -> None:
    found = pl.bench(Waiting(50), seconds=0.05)

    assert found.name == "waiting-microseconds50"
    assert found.median == pytest.approx(50e-6, rel=1e-3)
    with pytest.raises(UsageError, match="makes its own tensors"):
        pl.bench(Waiting(50), 3)


def test_a_result_shows_itself_as_a_table_with_everything_escaped(machine: simulated.Simulated) -> None:
    html = pl.bench(taking(100), seconds=0.05)._repr_html_()

    assert html.startswith("<table>")
    assert "&lt;lambda&gt;" in html
    assert "<lambda>" not in html


def test_a_result_is_plain_data(machine: simulated.Simulated) -> None:
    found = msgspec.json.decode(msgspec.json.encode(pl.bench(taking(100), seconds=0.05).as_dict()))

    assert {"median", "low", "high", "flops", "fraction_of_peak", "peak_source", "flags"} <= set(found)


# compare


def test_a_slower_candidate_is_regressed_and_a_faster_one_improved(machine: simulated.Simulated) -> None:
    slower, faster = pl.compare(taking(100), taking(150), seconds=0.2), pl.compare(taking(100), taking(80))

    assert slower.ratio == pytest.approx(1.5, rel=1e-2)
    assert (slower.decision, faster.decision) == (Decision.REGRESSED, Decision.IMPROVED)
    assert slower.low <= slower.ratio <= slower.high
    assert slower.base_seconds == pytest.approx(100e-6, rel=1e-2)
    assert (slower.base, slower.candidate) == ("f", "g")
    assert repr(slower).startswith("g: regressed")
    assert "of this process alone" in repr(slower)


def test_the_same_function_twice_is_equivalent(machine: simulated.Simulated) -> None:
    assert pl.compare(taking(100), taking(101), seconds=0.2).decision is Decision.EQUIVALENT


def test_pairs_of_fresh_processes_are_compared(machine: simulated.Simulated) -> None:
    before = simulated.InProcess.started
    found = pl.compare(taking(100), taking(130), seconds=0.5, processes=6)

    assert (found.readings, found.processes, simulated.InProcess.started - before) == (6, 6, 12)
    assert found.decision is Decision.REGRESSED
    assert "6 pairs of fresh processes" in repr(found)


def test_noisy_readings_decide_nothing_small() -> None:
    """Readings that would only detect 40 % do not confirm a change of 8 %, however the ranks fall."""
    noisy = Effect(ratio=1.08, low=1.03, high=1.5, p=0.01, pairs=9, alpha=0.05)
    large = Effect(ratio=2.0, low=1.9, high=2.1, p=0.01, pairs=9, alpha=0.05)

    assert comparing._decided(noisy, 0.02) is Decision.INCONCLUSIVE
    assert comparing._decided(large, 0.02) is Decision.REGRESSED


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 2}, "threshold=2: write a fraction above 0 and below 1; 0.02 is 2%"),
        ({"processes": 3}, "processes=3: write 1 .this process., or 6 or more"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused(options: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        pl.compare(taking(1), taking(1), **options)


# count


def test_a_block_is_counted_as_it_runs() -> None:
    a, b = torch.ones(4, 8), torch.ones(8, 16)
    with pl.count() as c:
        a @ b
        half = c.flops
        a @ b

    assert (half, c.flops, c.flops_dense, c.kernels) == (1024, 2048, 2048, 2)
    assert (c.bytes_moved, c.elementwise_flops, c.unknown) == (2 * 4 * (32 + 128 + 64), 0, {})
    assert [(one.name, one.calls, one.flops) for one in c.by_operator] == [("mm", 2, 2048)]
    assert list(c.frame()["bytes_moved"]) == [c.bytes_moved]
    assert "mm" in repr(c)
    assert "mm" in c._repr_html_()


def test_a_causal_mask_counts_half_the_pairs() -> None:
    q = torch.randn(1, 2, 64, 16)
    with pl.count() as c:
        nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)

    assert c.flops_dense == 4 * 2 * 64 * 64 * 16
    assert c.flops == 4 * 2 * (64 * 65 // 2) * 16


def test_a_training_step_counts_as_the_tracer_says() -> None:
    """The tracer's step on fake tensors, and the same step on real ones. Gradients that the step lets go first are not seen."""

    def prepare(device: torch.device) -> Call:
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8))
        return training(Subject(model, (torch.randn(16, 32),)), device)

    expected = trace(prepare, torch.device("cpu")).trace
    step = prepare(torch.device("cpu"))
    with pl.count() as c:
        step()

    for phase, other in zip(c.trace.phases, expected.phases, strict=True):
        assert msgspec.structs.replace(other, host_calls=0, peak_bytes=phase.peak_bytes) == phase
    assert c.trace.parameters == expected.parameters
    assert c.peak_memory_bytes == max(phase.peak_bytes for phase in expected.phases)


def test_memory_counts_what_the_block_is_given_from_the_beginning() -> None:
    given, late = torch.ones(1000), torch.ones(500)
    with pl.count() as c:
        made = given + 1
        del made
        late + 1

    assert c.peak_memory_bytes == 4 * (1000 + 500 + 1000)


def test_nothing_of_the_users_is_kept() -> None:
    tensor = torch.ones(8)
    with pl.count():
        tensor + 1
    gone = weakref.ref(tensor.untyped_storage())
    del tensor

    assert gone() is None


def test_what_cannot_be_counted_is_named_and_runs_all_the_same() -> None:
    sparse = torch.eye(4).to_sparse()
    with pl.count() as c:
        product = sparse @ torch.ones(4, 4)

    assert torch.equal(product, torch.ones(4, 4))
    assert c.unknown
    assert "no formula for" in repr(c)


def test_an_error_in_a_block_is_the_users_own_and_leaves_no_mode_behind() -> None:
    counted = []

    def broken() -> None:
        with pl.count() as c:
            counted.append(c)
            torch.ones(2, 2) @ torch.ones(2, 2)
            raise RuntimeError("of my own")

    with pytest.raises(RuntimeError, match="of my own"):
        broken()
    torch.ones(2, 2) @ torch.ones(2, 2)

    assert counted[0].flops == 16


def test_the_device_that_is_used_is_found() -> None:
    live = LiveCount()
    with live.counting():
        torch.ones(2) + 1

    assert calls.place_of([live], None, 1) == ("cpu", 1)


# predict


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))


def test_a_model_is_predicted_and_stays_as_it_is() -> None:
    model, inputs = mlp(), torch.randn(8, 16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = pl.predict(model, inputs)

    assert found.parameters == sum(one.numel() for one in model.parameters())
    assert found.training is not None
    assert found.inference.flops == 2 * 8 * (16 * 32 + 32 * 4)
    assert found.training.flops == 3 * found.inference.flops - 2 * 8 * 16 * 32
    assert list(found.training.peak_memory_by_phase) == ["forward", "backward", "optimizer"]
    assert found.training.peak_memory_bytes == max(found.training.peak_memory_by_phase.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())
    assert model.training


def test_a_prediction_is_what_the_step_really_does() -> None:
    model, inputs = mlp(), torch.randn(8, 16)
    found = pl.predict(model, inputs, optimizer="sgd").training
    step = training(Subject(model, (inputs,)), torch.device("cpu"), optimizer="sgd")
    with pl.count() as c:
        step()

    assert found is not None
    assert (c.flops, c.kernels, c.bytes_moved) == (found.flops, found.kernels, found.bytes_moved)
    assert c.peak_memory_bytes == pytest.approx(found.peak_memory_bytes, rel=0.02)


def test_inputs_come_by_position_or_by_name_with_a_loss() -> None:
    model = nn.Bilinear(4, 5, 6)
    one, two = torch.ones(3, 4), torch.ones(3, 5)
    tupled = pl.predict(model, (one, two))
    named = pl.predict(model, {"input1": one, "input2": two}, loss=lambda output: output.sum())

    assert tupled.inference.flops == named.inference.flops > 0


def test_a_model_without_memory_of_its_own_is_predicted() -> None:
    with torch.device("meta"):
        model = nn.Linear(100_000, 100_000)
    found = pl.predict(model, torch.empty(4, 100_000, device="meta"))

    assert found.parameters == 100_000 * 100_001
    assert found.inference.peak_memory_bytes > 4 * found.parameters


def test_a_frozen_model_has_no_training() -> None:
    found = pl.predict(mlp().requires_grad_(requires_grad=False), torch.randn(8, 16))

    assert found.training is None
    assert "training" not in repr(found)


def test_shared_weights_count_once() -> None:
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight

    assert pl.predict(model, torch.ones(2, 8)).parameters == 64


def test_without_calibration_it_is_said_how_to_get_a_time() -> None:
    found = pl.predict(mlp(), torch.randn(8, 16))

    assert (found.inference.seconds, found.inference.interval, found.inference.seconds_at_least) == (
        None,
    ) * 3
    assert "plumbline calibrate" in repr(found)


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        (3, OUTPUT, r"predict\(model\): int is not a torch.nn.Module"),
        (mlp(), 3, r"predict\(inputs\): int is not a batch; write a tensor"),
        (mlp(), torch.ones(2, 3), "Sequential cannot be traced: RuntimeError"),
    ],
)
def test_what_cannot_be_predicted_gets_one_line(model: Any, inputs: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        pl.predict(model, inputs)


# plan, load, read, fit, report


def test_a_plan_takes_the_options_of_the_command_line() -> None:
    found = pl.plan(
        "llama-3-8b", seq=8192, tokens=15e12, batch=1024, devices=1024, tensor=8, on="h100", mfu=0.4
    )

    assert (found.parameters, found.record.sequence) == (8_030_261_248, 8192)
    assert found.train_seconds is not None
    assert "on H100" in repr(found)
    assert found.as_dict()["model"] == "Llama-3-8B"


def test_a_plan_of_a_configuration_is_that_of_its_file(tmp_path: Path) -> None:
    fields = {
        "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 100,
    }  # fmt: skip
    (tmp_path / "llama.json").write_text(json.dumps(fields))

    assert pl.plan(fields).parameters == pl.plan(tmp_path / "llama.json").parameters
    with pytest.raises(UsageError, match=r"^the configuration: hidden_size is missing"):
        pl.plan({"model_type": "llama"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sqe": 3}, "no option 'sqe'; did you mean seq"),
        ({"batch": "8"}, "batch='8': write a whole number"),
        ({"flash": 1}, "flash=1: write True or False"),
        ({"dtype": "int8"}, "dtype='int8': not one of"),
        ({"tokens": True}, "tokens=True: write a number"),
    ],
)
def test_options_of_a_plan_that_cannot_be_are_named_as_in_python(options: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        pl.plan("llama-3-8b", **options)


@pytest.fixture
def stored(tmp_path: Path) -> Run:
    """A made-up run in the results folder."""
    run = made_up.run()
    writer = store.Writer.create(tmp_path / "results", run.header)
    for result in run.results:
        writer.append(result)
    writer.close()
    return run


def test_runs_are_read_loaded_and_reported(stored: Run, tmp_path: Path) -> None:
    run = pl.read("latest")

    assert run.header.id == stored.header.id
    assert repr(run).startswith(f"Run {run.header.id} on cpu: ")
    assert "\n" not in repr(run)
    assert len(pl.load("results")) == len(run.results)
    files = pl.report(run, markdown="report.md", json=tmp_path / "report.json")
    assert [path.name for path in files] == ["report.md", "report.json"]
    assert run.header.id in Path("report.md").read_text()
    with pytest.raises(UsageError, match="there is no folder"):
        pl.report("latest", markdown="nowhere/report.md")


def test_a_frame_is_fitted_by_its_columns() -> None:
    table = pd.DataFrame({"work": [10.0**k for k in range(4, 12)], "kind": ["a"] * 7 + ["b"]})
    table["t"] = 1e-4 + table["work"] / 1e12
    table.loc[6, "t"] = None
    found = pl.fit(table, seconds="t", flops="work", group="kind")

    assert [group.name for group in found] == ["a", "b"]
    assert found["a"].fitted is not None
    (_, expectation), *_ = found["a"].predictions
    assert expectation is not None
    assert expectation.seconds == pytest.approx(1e-4 + 1e10 / 1e12, rel=0.02)
    assert "a model needs at least" in repr(found)
    assert len(found.as_dict()["groups"]) == len(found) == 2
    with pytest.raises(KeyError, match="no group 'c'"):
        found["c"]


def test_a_frame_that_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(UsageError, match="DataFrame has no column 'seconds'"):
        pl.fit(pd.DataFrame({"flops": [1.0]}))
    with pytest.raises(UsageError, match=r"fit\(seconds='t'\): no such column"):
        pl.fit(pd.DataFrame({"flops": [1.0]}), seconds="t")
    with pytest.raises(UsageError, match="list is not a DataFrame"):
        pl.fit([1, 2])  # type: ignore[arg-type]


def test_a_run_is_fitted_by_its_sweeps(stored: Run) -> None:
    assert len(pl.fit(stored)) == len(pl.fit("latest"))


# plumbline time


def test_an_expression_is_timed_in_a_few_lines(plumbline: Runner) -> None:
    status, output, errors = plumbline(
        "time", "a @ b", "--setup", "a = torch.ones(8, 8); b = a.clone()", "--seconds", "0.01"
    )

    assert (status, errors) == (0, "")
    assert output.startswith("a @ b: ")
    assert len(output.splitlines()) <= 6


def test_several_expressions_are_compared_with_the_first(plumbline: Runner) -> None:
    arguments = (
        "F.relu(a)",
        "np.ones(3)",
        "x = 1; a + x",
        "-s",
        "a = torch.ones(8)",
        "--seconds",
        "0.05",
        "--json",
    )
    status, output, _ = plumbline("time", *arguments)
    found = json.loads(output)

    assert status == 0
    assert [(one["base"], one["candidate"]) for one in found] == [
        ("F.relu(a)", "np.ones(3)"),
        ("F.relu(a)", "x = 1; a + x"),
    ]


def test_what_an_expression_prints_is_no_part_of_the_answer(plumbline: Runner) -> None:
    status, output, errors = plumbline("time", "print('here')", "--seconds", "0.001", "--json")

    assert status == 0
    assert json.loads(output)[0]["name"] == "print('here')"
    assert "here" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a @",), "expression 'a @': invalid syntax at column 4"),
        (("a",), "expression 'a': NameError: name 'a' is not defined; define it with --setup"),
        (("1 / 0",), "expression '1 / 0': ZeroDivisionError: division by zero"),
        (("1", "--setup", "raise SystemExit(3)"), "--setup: SystemExit: 3"),
        (("1", "--setup", "x ="), "--setup: invalid syntax"),
        (("break",), "expression 'break': 'break' outside loop"),
        (("",), "expression '': empty; write Python such as 'a @ b'"),
        (("1", "--seconds", "0"), "seconds=0.0: write a number above 0"),
        (("1", "2", "--processes", "3"), "processes=3: write 1 (this process), or 6 or more"),
    ],
)
def test_a_wrong_expression_is_one_line_and_status_2(
    plumbline: Runner, arguments: tuple[str, ...], words: str
) -> None:
    status, output, errors = plumbline("time", *arguments)

    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert words in errors


# Real processes


@pytest.mark.worker
def test_a_local_function_and_a_local_suite_are_measured_by_fresh_processes() -> None:
    factor = 3.0

    @dataclass(frozen=True)
    class Local(Workload):
        n: int

        def prepare(self, device: torch.device) -> Call:
            x = torch.ones(self.n, device=device)
            return lambda: factor * x

    scaled = pl.bench(lambda x: factor * x, torch.ones(8), seconds=0.02, processes=2)
    local = pl.bench(Local(8), seconds=0.02, processes=2)

    assert (scaled.processes, local.processes, local.name) == (2, 2, "local-n8")
    assert scaled.elementwise_flops == local.elementwise_flops == 8


# The notebook


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells in their order, with small budgets; the last value of a cell is shown, as a notebook does."""
    notebook = json.loads((ROOT / "docs" / "notebooks" / "quickstart.ipynb").read_text())
    namespace: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == []
        tree = ast.parse("".join(cell["source"]).replace("SECONDS = 1.0", "SECONDS = 0.01"))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<cell>", "exec"), namespace)  # noqa: S102 - what a notebook does
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace))  # noqa: S307

    assert [type(one).__name__ for one in shown] == [
        "Timing", "tuple", "Contrast", "Count", "tuple", "ModelPrediction", "tuple", "DemandPlan", "Timing", "Fits",
    ]  # fmt: skip
    assert all(
        hasattr(one, "_repr_html_") for one in shown if isinstance(one, counting.Count | timing.Timing)
    )
