"""The claim `plan`: what a configuration says against the step that ran."""

from pathlib import Path

import msgspec
import pytest

from harness import store
from harness.check.plans import CLAIM, check_plans
from harness.records import Answer, Result, Run

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference" / "epyc-2-cores-cpu"
RUN = store.read(REFERENCE)
STEPS = ("resnet18", "resnet50", "vit", "bert", "gpt2", "t5", "llama", "mixtral")


def one(architecture: str) -> Result:
    return next(r for r in RUN.measured if r.case.id.startswith(f"train-{architecture}-"))


def only(result: Result) -> tuple[Answer, str]:
    (verdict,) = check_plans(Run(RUN.header, (result,)))
    assert verdict.claim == CLAIM
    return verdict.answer, verdict.reason


def test_every_architecture_of_transformers_that_was_measured_is_judged_and_none_fails() -> None:
    verdicts = list(check_plans(RUN))

    assert {verdict.subject.split("-")[1] for verdict in verdicts} == set(STEPS)
    assert Answer.FAILS not in {verdict.answer for verdict in verdicts}
    assert [verdict.answer for verdict in verdicts].count(Answer.HOLDS) >= 12
    assert not any("checkpointed" in verdict.subject for verdict in verdicts)


@pytest.mark.parametrize("architecture", STEPS)
def test_a_model_of_other_parameters_or_flops_fails(architecture: str) -> None:
    sound = one(architecture)
    assert sound.case.trace is not None
    more = msgspec.structs.replace(sound.case.trace, parameters=sound.case.trace.parameters + 1)
    phases = tuple(
        msgspec.structs.replace(phase, flops=2 * phase.flops) if phase.phase == "forward" else phase
        for phase in sound.case.trace.phases
    )
    twice = msgspec.structs.replace(sound.case.trace, phases=phases)

    for trace in (more, twice):
        case = msgspec.structs.replace(sound.case, trace=trace)
        answer, reason = only(msgspec.structs.replace(sound, case=case))
        assert answer is Answer.FAILS
        assert "the model that ran has" in reason


def test_a_peak_far_off_is_no_failure_and_no_success() -> None:
    sound = one("llama")
    assert sound.measurement is not None
    outcome = msgspec.structs.replace(
        sound.measurement, peak_memory_bytes=2 * (sound.measurement.peak_memory_bytes or 1)
    )

    assert only(sound)[0] is Answer.HOLDS
    assert only(msgspec.structs.replace(sound, outcome=outcome))[0] is Answer.INCONCLUSIVE


def test_what_no_configuration_describes_is_not_judged() -> None:
    others = [
        r
        for r in RUN.measured
        if r.case.id.split("-")[1] in {"mlp", "alexnet", "vgg16"} or r.case.suite == "matmul"
    ]

    assert others
    assert list(check_plans(Run(RUN.header, tuple(others)))) == []
