"""The noise profile of made-up pairs whose truth is known, and the self-test on a simulated device."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import torch

from harness import stats, store
from harness.check.judge import check_trust
from harness.records import Answer, Flag
from harness.records.noise import KindNoise, NoiseProfile, Repeat, TimerReading
from harness.selftest import run
from harness.selftest.work import Kind
from harness.store import DEFAULT_RESULTS as RESULTS
from harness.workload import Call, Workload
from tests import made_up, simulated
from tests.conftest import decoded
from tests.simulated import Simulated

Plumbline = Callable[..., tuple[int, str, str]]


def kind(
    sigma: float = 0.005, *, drift: float = 0.0, half: float = 0.03, pairs: int = 12, name: str = "compute"
) -> KindNoise:
    chance = random.Random(5)
    centres = [1e-3 * math.exp(chance.gauss(0, drift)) for _ in range(pairs)]
    return KindNoise(
        name=name,
        workload="product-n512",
        threads=1,
        call_seconds=1e-3,
        injected=0.05,
        same=tuple(chance.gauss(0.0, sigma) for _ in range(pairs)),
        slower=tuple(chance.gauss(math.log(1.05), sigma) for _ in range(pairs)),
        repeats=tuple(Repeat(c, c * math.exp(-half), c * math.exp(half)) for c in centres),
    )


def profile(*kinds: KindNoise, error: float = 0.001) -> NoiseProfile:
    return NoiseProfile(
        schema_version=store.SCHEMA_VERSION,
        host="0123456789abcdef",
        device="cpu",
        threads=2,
        machine="Made-up CPU",
        torch="2.13.0",
        taken_at="2026-01-02T03:04:05+00:00",
        seconds=100.0,
        kinds=kinds or (kind(),),
        timer=(TimerReading(2e-4, 2e-4 * (1 + error)),),
        mark_seconds=1e-7,
        sample_seconds=4e-5,
    )


def test_quiet_pairs_may_gate_and_noisy_ones_may_not() -> None:
    quiet, noisy = kind(0.005), kind(0.06)

    assert (quiet.false_alarms, quiet.power, quiet.may_gate) == (0.0, 1.0, True)
    assert 0.05 < noisy.false_alarms < 0.35  # P(|N(0, 0.06 / sqrt 5)| beyond 3 % on one side) is about 0.13
    assert noisy.power < 0.95
    assert not noisy.may_gate


def test_what_can_be_detected_follows_from_the_spread_and_the_pairs() -> None:
    """Five pairs: (2.776 + 0.941) sigma / sqrt 5."""
    one = kind(0.01)

    assert one.detectable(5) == pytest.approx(math.expm1(3.717 * one.sigma / math.sqrt(5)), rel=1e-3)
    assert one.detectable(10) < one.detectable(5)


def test_coverage_counts_the_repeats_an_interval_holds() -> None:
    """Drift of 10% between repeats with intervals of 3%: few are covered, until the drift is known."""
    steady, drifting = kind(drift=0.005), kind(drift=0.10)

    assert steady.coverage_without_profile == 1.0
    assert drifting.coverage_without_profile is not None
    assert drifting.coverage_without_profile < 0.5
    assert drifting.coverage is not None
    assert drifting.coverage >= 0.9
    assert drifting.half_width > 0.15
    assert kind(pairs=4).coverage is None  # two others give no drift


def test_the_claims_of_a_profile() -> None:
    answers = {v.claim: v.answer for v in check_trust(profile())}
    assert answers == dict.fromkeys(("timer", "gate", "coverage"), Answer.HOLDS)

    wrong = {v.claim: v.answer for v in check_trust(profile(kind(0.06), error=0.03))}
    assert wrong["timer"] is Answer.FAILS
    assert wrong["gate"] is Answer.INCONCLUSIVE  # not gated, and no fault of the harness


def test_work_is_widened_by_the_drift_of_work_like_it() -> None:
    one = profile(
        kind(drift=0.01),
        msgspec.structs.replace(kind(drift=0.05), name="train step"),
        msgspec.structs.replace(kind(drift=0.2), name="memory", threads=2),
    )

    def known(threads: int, **like: bool) -> float:
        found = one.drift(threads, from_memory=like.get("memory", False), fine=like.get("fine", False))
        assert found is not None
        return found

    assert known(1) < known(1, fine=True) < known(1, memory=True) == known(2, memory=True)
    assert one.drift(2, from_memory=False, fine=False) is None  # nothing like it was measured


@dataclass(frozen=True)
class Made(Workload):
    """Work of so many microseconds on the simulated device; each process has a pace of its own, by `spread`."""

    microseconds: int
    spread: float = 0.0

    def prepare(self, device: torch.device) -> Call:
        pace = 1e-6 * self.microseconds * math.exp(CHANCE.gauss(0.0, self.spread))
        output = torch.ones(1)

        def call() -> torch.Tensor:
            simulated.CURRENT.submit(pace)
            return output

        return call


CHANCE = random.Random(3)


def test_the_command_measures_checks_stores_and_prints(
    machine: Simulated, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady, uneven = Kind("compute", Made(1000, 0.003), 1), Kind("memory", Made(500, 0.2), 2)
    monkeypatch.setattr(run, "kinds", lambda *_: (steady, uneven))
    monkeypatch.setattr(run, "SPINS", (SimpleSpin(200),))

    status, output, errors = plumbline("selftest", "--pairs", 8)

    assert "pair 8 of 8" in errors
    found = store.profile(RESULTS, made_up.environment().host.id, "simulated")
    assert found is not None
    good, bad = found.kinds
    assert good.name == "compute"
    assert good.call_seconds == pytest.approx(1e-3, rel=0.02)
    assert [len(good.same), len(good.slower), len(good.repeats)] == [8, 8, 8]
    assert (good.false_alarms, good.power, good.may_gate) == (0.0, 1.0, True)
    assert stats.median(list(good.slower)) == pytest.approx(math.log(1.05), abs=0.004)
    assert not bad.may_gate
    assert "can be gated here: compute on 1 thread" in output
    assert "informational here (not gated): memory on 2 threads" in output
    assert "a spin of 200 µs: read 200 µs" in output
    assert status in {0, 1}  # coverage of eight made-up repeats is a matter of chance

    status, output, _ = plumbline("selftest", "--pairs", 5, "--json")
    content = decoded(output)
    assert [k["name"] for k in content["kinds"]] == ["compute", "memory"]
    assert {v["claim"] for v in content["verdicts"]} == {"timer", "gate", "coverage"}


@dataclass(frozen=True)
class SimpleSpin(Made):
    """A spin of known length."""


def test_a_bench_on_this_host_states_wider_intervals_after_a_self_test(
    machine: Simulated, plumbline: Plumbline, suite: Callable[..., Path]
) -> None:
    plumbline("bench", suite())
    before = store.read(store.find("latest"))
    drifting = kind(drift=0.10)
    store.put_profile(
        RESULTS,
        msgspec.structs.replace(
            profile(msgspec.structs.replace(drifting, threads=2)),
            host=before.header.environment.host.id,
            device="simulated",
        ),
    )
    plumbline("bench", suite())
    folders = [path.parent for path in RESULTS.glob("2*/run.json")]
    after = next(run for run in map(store.read, folders) if run.header.id != before.header.id)

    assert before.header.selftest_at is None
    assert after.header.selftest_at == "2026-01-02T03:04:05+00:00"
    (narrow, *_), (wide, *_) = (
        [r.measurement.view for r in one.results if r.measurement] for one in (before, after)
    )
    assert narrow.drift_between_runs is None
    assert wide.drift_between_runs == pytest.approx(drifting.drift)
    assert wide.half_width is not None
    assert narrow.half_width is not None
    assert wide.half_width > 0.15
    assert narrow.half_width < 0.05


def test_too_few_pairs_are_refused(plumbline: Callable[..., tuple[int, str, str]]) -> None:
    status, _, errors = plumbline("selftest", "--pairs", 2)

    assert status == 2
    assert "--pairs 2: too few pairs; give at least 5" in errors


def test_a_profile_is_kept_by_host_and_device_and_read_again(tmp_path: Path) -> None:
    one = profile()
    path = store.put_profile(tmp_path, one)

    assert path.name == "0123456789abcdef-cpu.json"
    assert store.profile(tmp_path, one.host, "cpu") == one
    assert store.profile(tmp_path, one.host, "cuda:0") is None
    path.write_text("{")
    assert store.profile(tmp_path, one.host, "cpu") is None


def test_flags_of_repeats_are_counted() -> None:
    flagged = tuple(
        msgspec.structs.replace(r, flags=(Flag.CONTENDED,)) if i % 2 else r
        for i, r in enumerate(kind().repeats)
    )

    assert msgspec.structs.replace(kind(), repeats=flagged).flagged == 0.5
    assert decoded(msgspec.json.encode(profile()).decode())["host"] == "0123456789abcdef"
