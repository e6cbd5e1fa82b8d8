"""Whole steps in records, claims and reports: traces, utilization, memory by phase."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from harness import store
from harness.check.judge import judge
from harness.cost import roofline
from harness.measure.devices.cpu import measure_memory_on_cpu
from harness.records import (
    Answer,
    Case,
    CaseOperators,
    Cost,
    Footprint,
    Operator,
    PhaseWork,
    Result,
    Run,
    Stratum,
    Trace,
    Verdict,
)
from harness.report.step_tables import STEP_COLUMNS, step_rows
from harness.workload import Call, Step
from tests import made_up
from tests.made_up import markdown_of
from tests.simulated import Simulated

PEAK = 190e9  # the highest peak level of made_up.PEAKS that code reached


def step(*, said: int = 1000, measured: int = 1000, fused: bool = False, **changes: Any) -> Result:
    """A step of 0.1 s that does 1.9 GFLOP, and 0.19 GFLOP again."""
    phases = tuple(
        PhaseWork(name, flops, 0, 0, again, 0, 0, 10, peak)
        for name, flops, again, peak in (
            ("forward", 630_000_000, 0, 700),
            ("backward", 1_270_000_000, 190_000_000, said),
            ("optimizer", 0, 0, 600),
        )
    )
    trace = Trace(
        parameters=100,
        phases=phases,
        strata=(Stratum("float32", 1024, 2_090_000_000, 0, 10_000, 30),),
        footprint=Footprint(parameters=400, activations=said - 400),
        held=Footprint(parameters=400),
        peak_phase="backward",
        saved_bytes=300,
        unknown=changes.pop("unknown", {}),
    )
    cost = Cost(
        flops=1_900_000_000, recomputed_flops=190_000_000, bytes_read=1, bytes_written=1, memory_bytes=said
    )
    case = Case(
        "train-thing",
        "train_step",
        "train",
        "float32",
        {"batch": 8},
        cost,
        items={"samples": 8, "tokens": 800},
        trace=trace,
        fused=fused,
    )
    outcome = msgspec.structs.replace(
        made_up.measurement(0.1, spread=0.0, memory=measured),
        phase_peak_bytes={"forward": 700, "backward": measured, "optimizer": 600},
        phase_seconds={"forward": 0.03, "backward": 0.06, "optimizer": 0.01},
    )
    return Result(case, outcome, roofline.predict(case, made_up.PEAKS, 2))


def memory_verdict(result: Result) -> Verdict:
    run = judge(made_up.run((result,)))
    return next(v for v in run.header.verdicts if v.claim == "memory")


def test_utilization_is_of_the_best_rate_any_code_reached() -> None:
    run = made_up.run((step(),))
    result = run.results[0]

    assert run.mfu(result) == pytest.approx(19e9 / PEAK)
    assert run.hfu(result) == pytest.approx(20.9e9 / PEAK)
    assert result.rates == pytest.approx({"samples": 80, "tokens": 8000})


def test_a_step_reads_as_a_line() -> None:
    row = dict(zip(STEP_COLUMNS, step_rows(made_up.run((step(),)))[0], strict=True))

    assert row == {
        "step": "train-thing",
        "median": "100 ms",
        "samples/s": "80.0",
        "tokens/s": "8.00 k",
        "forward": "30%",
        "backward": "60%",
        "optimizer": "10%",
        "MFU": "10%",
        "HFU": "11%",
        "kernels": "30",
        "memory": "1000 B",
        "predicted": "+0.00%",
        "peak in": "backward",
        "activations": "300 B",
    }


@pytest.mark.parametrize(
    ("said", "measured", "fused", "answer"),
    [
        (1000, 1000, False, Answer.HOLDS),
        (985, 1000, False, Answer.HOLDS),
        (900, 1000, False, Answer.INCONCLUSIVE),  # kernels take the rest
        (1100, 1000, False, Answer.FAILS),  # nothing takes less than its tensors
        (1100, 1000, True, Answer.INCONCLUSIVE),  # a compiler plans anew
    ],
)
def test_the_memory_of_a_step_is_as_predicted(said: int, measured: int, fused: bool, answer: Answer) -> None:
    verdict = memory_verdict(step(said=said, measured=measured, fused=fused))

    assert verdict.answer is answer
    assert " in backward, predicted" in verdict.reason


def test_a_single_operator_takes_at_least_what_was_predicted() -> None:
    case = made_up.product(64)
    assert case.cost is not None
    more, less = (
        Result(case, made_up.measurement(1e-3, memory=int(factor * case.cost.memory_bytes)))
        for factor in (3, 0.5)
    )

    assert memory_verdict(more).answer is Answer.HOLDS
    assert "kernels take the rest" in memory_verdict(more).reason
    assert memory_verdict(less).answer is Answer.FAILS


def test_the_roofline_of_a_step_is_a_sum_over_its_operators() -> None:
    """Each with the level that could feed it: what fits into L2 is not counted at the rate of DRAM."""
    strata = (
        Stratum("float32", 2**10, 190_000_000, 0, 10**6, 5),
        Stratum("float32", 2**30, 0, 0, 20 * 10**6, 5),
        Stratum("int64", 2**10, 0, 7, 10**6, 5),
        Stratum("float8", 2**10, 10**12, 0, 0, 1),  # no peak is known: it adds nothing
    )
    trace = msgspec.structs.replace(step().case.trace, strata=strata)  # type: ignore[type-var]
    case = msgspec.structs.replace(step().case, trace=trace)

    found = roofline.predict(case, made_up.PEAKS, 2)

    assert found.compute_seconds == pytest.approx(190e6 / PEAK)
    assert found.memory_seconds == pytest.approx(2e6 / 100e9 + 20e6 / 20e9)
    assert (found.level, found.bound) == ("DRAM", "memory")
    # A compiler that fuses operators moves less: only the FLOPs bound it.
    fused = roofline.predict(msgspec.structs.replace(case, fused=True), made_up.PEAKS, 2)
    assert (fused.memory_seconds, fused.bound) == (None, "compute")


def test_an_operator_without_a_formula_is_named_in_the_report() -> None:
    text = markdown_of(made_up.run((step(unknown={"mine::thing": 3}),)))

    assert "no formula for the operator mine::thing: its FLOPs are missing in train-thing" in text


def test_why_there_is_no_prediction_is_said() -> None:
    case = msgspec.structs.replace(step().case, cost=None, trace=None, untraced="it looks at values")
    text = markdown_of(made_up.run((Result(case, made_up.measurement(0.1)),)))

    assert "no prediction: it looks at values (train-thing)" in text


def test_the_peak_of_each_phase() -> None:
    """4 KiB of input; the first phase makes 8 and keeps them, the second makes 16 and drops all."""

    def prepare(device: torch.device) -> Call:
        x = torch.ones(1024, device=device)
        kept: list[torch.Tensor] = []

        def first() -> None:
            kept.append(torch.cat([x, x]))

        def second() -> torch.Tensor:
            y = kept.pop()
            return torch.cat([y, y])[:1].clone()

        return Step(first=first, second=second)

    memory = measure_memory_on_cpu(prepare)

    assert memory.phases["first"] == 4096 + 8192
    assert memory.phases["second"] == pytest.approx(4096 + 8192 + 16384, abs=64)
    assert memory.peak_bytes == memory.phases["second"]


STEPS = """
from dataclasses import dataclass

import pytest
import torch

from harness import Step, Sweep, Workload
from tests import simulated


@dataclass(frozen=True)
class Thing(Workload):
    kind: str

    def prepare(self, device):
        weight, x = torch.ones(16, 4, requires_grad=True), torch.ones(8, 16)
        losses = []

        def forward():
            simulated.CURRENT.submit(1e-4)
            loss = (x @ weight).sum()
            if self.kind == "looks" and loss > 0:
                loss = 2 * loss
            losses.append(loss)
            return loss.detach()

        def backward():
            simulated.CURRENT.submit(3e-4)
            losses.pop().backward()

        return Step(forward=forward, backward=backward)


WORKLOADS = Sweep(quick=[Thing("plain"), Thing("looks")])


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_thing(workload, bench):
    bench(workload)
"""


@pytest.fixture
def run_of_steps(
    machine: Simulated, tmp_path: Path, plumbline: Callable[..., tuple[int, str, str]]
) -> tuple[Run, Path, str]:
    path = tmp_path / "things.py"
    path.write_text(STEPS)
    status, output, errors = plumbline("bench", path)
    # A claim notices that the backward pass takes three times the forward one, with as many FLOPs.
    assert (status, errors) == (1, "")
    folder = store.find("latest")
    return store.read(folder), folder, output


def test_a_case_that_does_not_say_its_cost_is_traced_before_it_runs(
    run_of_steps: tuple[Run, Path, str],
) -> None:
    run, folder, output = run_of_steps
    plain, looks = run.results

    product = 2 * 8 * 16 * 4
    assert plain.case.cost is not None
    assert plain.case.trace is not None
    assert plain.case.cost.flops == 2 * product  # the input needs no gradient
    assert [phase.phase for phase in plain.case.trace.phases] == ["forward", "backward"]
    assert plain.prediction is not None
    assert plain.prediction.seconds
    operators = store.operators(folder)["thing-plain"]
    assert sum(operator.flops * operator.count for operator in operators) == 2 * product
    # One that cannot be traced is measured all the same, and says why it has no prediction.
    assert looks.measurement is not None
    assert looks.case.untraced is not None
    assert looks.case.untraced.startswith("it looks at values that it computes")
    assert "no prediction: it looks at values that it computes" in output


def test_the_time_of_each_phase_is_measured(run_of_steps: tuple[Run, Path, str]) -> None:
    measurement = run_of_steps[0].results[0].measurement

    assert measurement is not None
    assert measurement.phase_seconds == pytest.approx({"forward": 1e-4, "backward": 3e-4}, rel=0.02)
    assert measurement.median == pytest.approx(4e-4, rel=0.02)


def test_too_large_for_the_free_memory_is_said_before_it_is_tried(
    machine: Simulated, tmp_path: Path, plumbline: Callable[..., tuple[int, str, str]]
) -> None:
    machine.memory = 1000
    path = tmp_path / "things.py"
    path.write_text(
        STEPS.replace(
            "return Step(",
            "assert x.device.type == 'meta' or type(x) is not torch.Tensor\n        return Step(",
        )
    )

    plumbline("bench", path, "-k", "plain")

    result = store.read(store.find("latest")).results[0]
    assert result.measurement is None
    assert "of memory; 1000 B are free" in getattr(result.outcome, "reason", "")


def test_operators_on_disk_survive_a_torn_line(tmp_path: Path) -> None:
    writer = store.Writer.create(tmp_path, made_up.header(("a",)))
    one = Operator("mm", "forward", ("float32[2,2]",), ("float32[2,2]",), 1, "float32", flops=16)
    writer.append_operators(CaseOperators("a", (one,)))
    with (writer.folder / store.OPERATORS).open("ab") as file:
        file.write(b'{"case": "b", "oper')

    assert store.operators(writer.folder) == {"a": (one,)}


def test_a_record_made_before_there_were_traces_still_reads() -> None:
    old = msgspec.json.encode({"bytes_read": 1, "bytes_written": 2, "memory_bytes": 3, "flops": 4})

    cost = msgspec.json.decode(old, type=Cost)

    assert (cost.flops_dense, cost.hardware_flops) == (4, 4)
