"""Stored runs compared as a gate: made-up runs whose difference is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import store
from harness.compare.gating import compare_stored, pace_change
from harness.errors import UsageError
from harness.records import (
    Failed,
    Header,
    Measurement,
    PeakLevel,
    Peaks,
    Result,
    Run,
    Skipped,
)
from harness.records.comparison import Comparison, Decision
from tests import made_up
from tests.conftest import decoded

Plumbline = Callable[..., tuple[int, str, str]]
SIZES = (256, 512, 1024)
# Intervals of two processes are a few percent wide.
THRESHOLD = 0.05


def results(*, slower: dict[int, float] | None = None, **changes: Any) -> tuple[Result, ...]:
    """Products, some slower by a factor; `changes` apply to each measurement."""
    found = []
    for n in SIZES:
        result = made_up.measured_product(n)
        factor = (slower or {}).get(n, 1.0)
        seconds = factor * result.outcome.median  # type: ignore[union-attr]
        memory = changes.get("memory", result.case.cost.memory_bytes if result.case.cost else None)
        found.append(msgspec.structs.replace(result, outcome=made_up.measurement(seconds, memory=memory)))
    return tuple(found)


def a_run(found: tuple[Result, ...], **changes: Any) -> Run:
    run = made_up.run(found)
    return Run(
        msgspec.structs.replace(run.header, **{"id": "20260103T000000Z-bbbbbbbb-000001", **changes}), found
    )


BASE = made_up.run(results())


def by_case(comparison: Comparison) -> dict[str, Decision]:
    return {case.case: case.decision for case in comparison.cases}


def name(n: int) -> str:
    return f"matmul-float32-m{n}-n{n}-k{n}"


def test_the_same_twice_is_equivalent() -> None:
    comparison = compare_stored(BASE, a_run(results()), THRESHOLD)
    assert set(by_case(comparison).values()) == {Decision.EQUIVALENT}
    assert not comparison.failed


def test_a_slower_case_fails_and_a_faster_one_is_reported() -> None:
    comparison = compare_stored(BASE, a_run(results(slower={256: 1.2, 1024: 0.8})), THRESHOLD)
    assert by_case(comparison) == {
        name(256): Decision.REGRESSED,
        name(512): Decision.EQUIVALENT,
        name(1024): Decision.IMPROVED,
    }
    assert [case.case for case in comparison.failing] == [name(256)]
    (slow,) = comparison.failing
    assert slow.ratio == pytest.approx(1.2)
    assert slow.low is not None
    assert slow.high is not None
    assert slow.low < 1.2 < slow.high
    assert comparison.failed


def test_a_machine_that_changed_its_pace_widens_the_threshold() -> None:
    peaks = made_up.PEAKS
    slower = Peaks(
        compute=tuple(
            msgspec.structs.replace(one, flops_per_second=one.flops_per_second / 1.25)
            for one in peaks.compute
        ),
        bandwidth=peaks.bandwidth,
        levels=peaks.levels,
    )
    candidate = a_run(results(slower={256: 1.2}), peaks=(slower,))
    assert pace_change(BASE, candidate, BASE.results[0]) == pytest.approx(0.25)
    comparison = compare_stored(BASE, candidate, THRESHOLD)
    assert by_case(comparison)[name(256)] is Decision.EQUIVALENT
    assert any("the machine itself changed: compute float32 -20" in note for note in comparison.notes)
    assert comparison.cases[0].threshold == pytest.approx(0.25 + THRESHOLD)


def test_a_torch_that_lost_a_third_does_not_hide_it_behind_its_own_peak() -> None:
    here = made_up.environment()
    newer = msgspec.structs.replace(
        here.software, torch=msgspec.structs.replace(here.software.torch, version="2.14.0")
    )
    lost = msgspec.structs.replace(
        made_up.PEAKS,
        compute=tuple(
            msgspec.structs.replace(one, flops_per_second=0.66 * one.flops_per_second)
            if one.peak_level is PeakLevel.TORCH
            else one
            for one in made_up.PEAKS.compute
        ),
    )
    slower = results(slower=dict.fromkeys(SIZES, 1.5))
    environment = msgspec.structs.replace(here, software=newer)
    comparison = compare_stored(BASE, a_run(slower, environment=environment, peaks=(lost,)), THRESHOLD)
    assert set(by_case(comparison).values()) == {Decision.REGRESSED}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"environment": made_up.environment(model_name="Other CPU")},
            r"processor.model_name \(Made-up CPU / Other CPU\)",
        ),
        ({"settings": msgspec.structs.replace(BASE.header.settings, threads=1)}, r"threads \(2 / 1\)"),
        (
            {"settings": msgspec.structs.replace(BASE.header.settings, device="cuda:0")},
            r"device \(cpu / cuda:0\)",
        ),
        ({"id": BASE.header.id}, "is base and candidate: name two runs"),
    ],
)
def test_runs_that_are_not_comparable_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare_stored(BASE, a_run(results(), **changes), THRESHOLD)


def test_another_torch_is_listed_with_the_verdicts() -> None:
    here = made_up.environment()
    software = msgspec.structs.replace(
        here.software, torch=msgspec.structs.replace(here.software.torch, version="2.14.0")
    )
    comparison = compare_stored(
        BASE, a_run(results(), environment=msgspec.structs.replace(here, software=software)), THRESHOLD
    )
    assert [(d.field, d.this, d.other) for d in comparison.differences] == [
        ("software.torch.version", "2.13.0", "2.14.0")
    ]
    assert not comparison.failed


def gone(kind: Skipped | Failed | None, **changes: Any) -> Comparison:
    found = results()
    kept = found[1:] if kind is None else (msgspec.structs.replace(found[0], outcome=kind), *found[1:])
    return compare_stored(BASE, a_run(kept, **changes), THRESHOLD)


def test_a_missing_case_fails_unless_it_was_not_asked_for() -> None:
    planned = tuple(result.case.id for result in results()[1:])
    narrower = msgspec.structs.replace(BASE.header.settings, expression="not m256")
    assert gone(None, planned=planned).missing == ((name(256), "not part of that run"),)
    assert gone(None, planned=planned).failed
    aside = gone(None, planned=planned, settings=narrower)
    assert not aside.missing
    assert not aside.failed
    assert "the candidate was not asked for 1 case of the base" in aside.notes
    every = tuple(result.case.id for result in results())
    assert gone(None, planned=every).missing == ((name(256), "planned, but not measured"),)
    assert gone(Failed("it broke")).missing == ((name(256), "failed: it broke"),)
    assert gone(Skipped("no room")).missing == ((name(256), "skipped: no room"),)


def test_a_new_case_is_listed_and_fails_nothing() -> None:
    more = (*results(), made_up.measured_product(2048))
    comparison = compare_stored(BASE, a_run(more), THRESHOLD)
    assert comparison.new == (name(2048),)
    assert not comparison.failed


def test_metrics_without_noise_gate_exactly() -> None:
    more = compare_stored(BASE, a_run(results(memory=2**30)), THRESHOLD)
    assert more.failed
    assert {change.metric for case in more.cases for change in case.work_grew} == {"peak memory"}
    less = compare_stored(BASE, a_run(results(memory=8)), THRESHOLD)
    assert not less.failed
    assert {change.metric for case in less.cases for change in case.work_shrank} == {"peak memory"}
    assert set(by_case(more).values()) == {Decision.EQUIVALENT}


def test_different_work_under_the_same_name_is_inconclusive() -> None:
    found = results()
    other = msgspec.structs.replace(found[0], case=msgspec.structs.replace(found[0].case, dtype="bfloat16"))
    comparison = compare_stored(BASE, a_run((other, *found[1:])), THRESHOLD)
    decision = next(case for case in comparison.cases if case.case == name(256))
    assert decision.decision is Decision.INCONCLUSIVE
    assert "dtype is float32 in the base, bfloat16 in the candidate" in decision.reason
    assert not comparison.failed


def test_a_workload_whose_code_changed_is_informational() -> None:
    def with_source(found: tuple[Result, ...], source: str) -> tuple[Result, ...]:
        return tuple(
            msgspec.structs.replace(one, case=msgspec.structs.replace(one.case, source=source))
            for one in found
        )

    base = made_up.run(with_source(results(), "a"))
    slower = with_source(results(slower={256: 2.0}), "b")
    comparison = compare_stored(base, a_run(slower), THRESHOLD)
    assert by_case(comparison)[name(256)] is Decision.REGRESSED
    assert not comparison.failed
    assert compare_stored(base, a_run(with_source(slower, "a")), THRESHOLD).failed


def test_one_process_decides_nothing() -> None:
    def alone(found: tuple[Result, ...]) -> tuple[Result, ...]:
        made = []
        for one in found:
            assert isinstance(one.outcome, Measurement)
            view = msgspec.structs.replace(one.outcome.view, processes=one.outcome.view.processes[:1])
            made.append(msgspec.structs.replace(one, outcome=msgspec.structs.replace(one.outcome, view=view)))
        return tuple(made)

    comparison = compare_stored(
        made_up.run(alone(results())), a_run(alone(results(slower={256: 2.0}))), THRESHOLD
    )
    assert set(by_case(comparison).values()) == {Decision.INCONCLUSIVE}
    assert {case.informational for case in comparison.cases} == {"a run of one process has no interval"}


def kept(folder: Path, run: Run) -> Header:
    writer = store.Writer.create(folder, run.header)
    for result in run.results:
        writer.append(result)
    writer.close()
    return run.header


def test_the_command_compares_and_fails(plumbline: Plumbline, tmp_path: Path) -> None:
    base = kept(tmp_path / "results", BASE)
    slower = kept(tmp_path / "results", a_run(results(slower={256: 1.2})))
    status, output, _ = plumbline(
        "compare", base.id, slower.id, "--threshold", "5%", "--json", "-", "--markdown", "out.md"
    )
    assert status == 1
    assert decoded(output)["cases"][0]["decision"] == "regressed"
    assert "FAIL: 1 regressed, 2 equivalent" in Path("out.md").read_text()
    status, output, _ = plumbline("compare", slower.id, base.id, "--threshold", "0.05")
    assert status == 0
    assert "PASS: 1 improved, 2 equivalent" in output
    status, output, errors = plumbline("compare", base.id, "nothing")
    assert (status, output) == (2, "")
    assert "no run 'nothing'" in errors
    status, _, errors = plumbline("compare", base.id, slower.id, "--threshold", "200%")
    assert status == 2
    assert "--threshold" in errors
