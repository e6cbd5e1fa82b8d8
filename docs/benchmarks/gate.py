"""Measure false alarms and detected slowdowns of 5% for `plumbline gate` and other rules, quiet and with background load.

    python docs/benchmarks/gate.py [PAIRS] > results/reference/benchmarks/gate.json
    python docs/benchmarks/gate.py --table results/reference/benchmarks/gate.json

The table goes to standard error. All work runs on one thread. In each pair of fresh processes, one measures the base. The other
measures the same work, and the same work made 5% longer, as `plumbline ab` does. After each pair, two fresh processes of
pytest-benchmark measure the same work.

A trial draws 10 of the pairs, and 10 more where it is undecided. In a pair of equal work either side can be the candidate, so
both count. pytest-benchmark compares two of its processes at a gate of 5% and of 2%. Mann-Whitney's test compares the pooled
samples of five processes with those of five others.

Synthetic: processes differ by 5% permanently, samples by 20%, and each sample resembles the previous one (AR 0.5).
"""

import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

from harness.measure.openmp import bound_spinning

bound_spinning()

import numpy as np  # noqa: E402
import scipy.signal  # noqa: E402
import scipy.stats  # noqa: E402

from harness.ab.trial import BURST_SECONDS, ROUNDS  # noqa: E402
from harness.compare.decision import ALPHA, PRACTICAL_THRESHOLD, decide, effect  # noqa: E402
from harness.compare.gating import can_gate  # noqa: E402
from harness.measure.batch import Order  # noqa: E402
from harness.measure.pairs import Arm, Pairs, reading  # noqa: E402
from harness.measure.pickling import pack_workload  # noqa: E402
from harness.measure.pool import WorkerPool  # noqa: E402
from harness.measure.runner import SAMPLING  # noqa: E402
from harness.records import Case  # noqa: E402
from harness.records.comparison import Decision  # noqa: E402
from harness.records.trial import Burst, CaseTrial, Pair  # noqa: E402
from harness.selftest.work import Product, Step  # noqa: E402

WORK = {"matmul 512": Product(512), "MLP step": Step(256)}
SLOWER, PAIRS, DRAWS = 0.05, 10, 2000
CASE = Case(id="", suite="", family="", dtype="", sizes={})
PEER = """
import json, sys
from harness.measure.openmp import bound_spinning
bound_spinning()
import pytest, torch
from harness.selftest.work import Product, Step
torch.set_num_threads(1)
calls = {"matmul 512": Product(512).prepare(torch.device("cpu")), "MLP step": Step(256).prepare(torch.device("cpu"))}
open(sys.argv[1] + "/test_peer.py", "w").write('''
import pytest
from __main__ import calls
@pytest.mark.parametrize("name", list(calls))
def test_call(name, benchmark):
    benchmark(calls[name])
''')
out = sys.argv[1] + "/out.json"
options = ["-p", "no:cacheprovider", "-c", "/dev/null", "--benchmark-max-time=0.8"]
pytest.main([sys.argv[1] + "/test_peer.py", *options, "--benchmark-json=" + out, "--benchmark-quiet"])
samples = {entry["param"]: entry["stats"]["data"] for entry in json.load(open(out))["benchmarks"]}
json.dump(samples, open(sys.argv[1] + "/samples.json", "w"))
"""


def pair() -> dict[str, dict[str, list[Burst]]]:
    """Returns the bursts of a fresh pair of processes: by work, then by arm (base, same, slower)."""
    pool = WorkerPool("cpu", 1, lambda _: None)
    bursts: dict[str, dict[str, list[Burst]]] = {}
    try:
        pool.grow(2)
        for name, work in WORK.items():
            pairs, packed = Pairs(SAMPLING["quick"], BURST_SECONDS), pack_workload(work)
            base = pairs.prepare(Arm(Order("base", *packed, 1), pool, 0))
            same = pairs.prepare(Arm(Order("same", *packed, 1), pool, 1))
            more = SLOWER * min(base.seconds, same.seconds)
            slower = pairs.prepare(Arm(Order("slower", *packed, 1, more), pool, 1))
            for _ in range(ROUNDS):
                pairs.round([base, same, slower])
            pairs.release([base, same, slower])
            bursts[name] = {"base": base.bursts, "same": same.bursts, "slower": slower.bursts}
    finally:
        pool.close()
    return bursts


def peer() -> dict[str, dict[str, float | list[float]]]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", PEER, folder], stdout=subprocess.DEVNULL, check=True)
        samples = json.loads((Path(folder) / "samples.json").read_text())
    # The pooled test uses a thousand evenly spaced samples; median and fastest use all of them.
    return {
        name: {
            "median": float(np.median(data)),
            "min": min(data),
            "samples": [float(f"{seconds:.5g}") for seconds in data[:: max(1, len(data) // 1000)]],
        }
        for name, data in samples.items()
    }


def measured(pairs: int, programs: int) -> dict[str, list[object]]:
    loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    raw: dict[str, list[object]] = {"pairs": [], "peers": []}
    try:
        for number in range(pairs):
            raw["pairs"].append(pair())
            raw["peers"] += [peer(), peer()]
            print(f"{programs} other programs: pair {number + 1} of {pairs}", file=sys.stderr, flush=True)
    finally:
        for load in loads:
            load.kill()
    return raw


def verdict(log_ratios: Sequence[float], evaluations: int) -> tuple[bool, bool, bool]:
    """Returns whether the decision is a regression, whether that fails a gate, and whether more pairs are needed."""
    measured_effect = effect(log_ratios, ALPHA / evaluations)
    decision = decide({"": measured_effect}, {"": PRACTICAL_THRESHOLD})[""]
    regressed, fails = decision is Decision.REGRESSED, can_gate(measured_effect, PRACTICAL_THRESHOLD)
    return regressed, regressed and fails, decision is Decision.INCONCLUSIVE or not fails


def trial(log_ratios: Sequence[float], *, doubled: bool) -> tuple[bool, bool]:
    """Returns whether 10 pairs, and 10 more if undecided, decide on a regression, and whether that fails a gate."""
    regressed, fails, more = verdict(log_ratios[:PAIRS], 1 + doubled)
    if doubled and more:
        regressed, fails, _ = verdict(log_ratios[: 2 * PAIRS], 2)
    return regressed, fails


def fraction(outcomes: Sequence[tuple[bool, bool]]) -> tuple[float, float]:
    return sum(outcome[0] for outcome in outcomes) / len(outcomes), sum(
        outcome[1] for outcome in outcomes
    ) / len(outcomes)


def rates(same: Sequence[float], slower: Sequence[float], *, doubled: bool) -> tuple[float, ...]:
    """Returns how often random pairs are decided as a regression and fail a gate: of equal work, and of slower work."""
    chance = random.Random(0)  # noqa: S311
    alarms, detected = [], []
    for _ in range(DRAWS):
        drawn = chance.sample(range(len(same)), min(2 * PAIRS, len(same)))
        alarms.append(trial([chance.choice((1, -1)) * same[k] for k in drawn], doubled=doubled))
        detected.append(trial([slower[k] for k in drawn], doubled=doubled))
    return (*fraction(alarms), *fraction(detected))


def readings(pairs: Sequence[dict[str, list[Burst]]], arm: str) -> CaseTrial:
    """Returns the trial of all pairs of an arm against the base."""
    readings_of_pairs = tuple(
        Pair(number, tuple(Burst(*b) for b in bursts["base"]), tuple(Burst(*b) for b in bursts[arm]))
        for number, bursts in enumerate(pairs)
    )
    return CaseTrial(CASE, readings_of_pairs)


def peers(data: Sequence[dict[str, list[float]]]) -> dict[str, tuple[float, float]]:
    """Returns false alarms and detected slowdowns for each rule."""
    rules: dict[str, tuple[float, float]] = {}
    for name in ("median", "min"):
        values = [process[name] for process in data]
        ratios = [b / a for a, b in permutations(values, 2)]
        for gate in (0.05, 0.02):
            alarms = sum(r > 1 + gate for r in ratios) / len(ratios)
            detected = sum(r * (1 + SLOWER) > 1 + gate for r in ratios) / len(ratios)
            rules[f"pytest-benchmark {name} {gate:.0%}"] = alarms, detected
    chance, alarms, detected, draws = random.Random(0), 0, 0, 200  # noqa: S311
    for _ in range(draws):
        drawn = [process["samples"] for process in chance.sample(list(data), 10)]
        base, candidate = (np.concatenate(half) for half in (drawn[:5], drawn[5:]))
        alarms += _slower(base, candidate)
        detected += _slower(base, (1 + SLOWER) * candidate)
    rules["Mann-Whitney, pooled"] = alarms / draws, detected / draws
    return rules


def _slower(base: np.ndarray, candidate: np.ndarray) -> bool:
    significant = scipy.stats.mannwhitneyu(base, candidate).pvalue < 0.05
    return bool(significant and np.median(candidate) > np.median(base))


def synthetic(count: int = 300) -> dict[str, tuple[float, ...]]:
    chance = np.random.default_rng(0)

    def process(slower: float) -> np.ndarray:
        noise = scipy.signal.lfilter([math.sqrt(0.75)], [1.0, -0.5], chance.normal(0, 1, 2 * ROUNDS * 40))
        return slower * math.exp(chance.normal(0, 0.05)) * np.exp(0.2 * noise).reshape(2 * ROUNDS, 40)

    def bursts(slower: float) -> tuple[Burst, ...]:
        return tuple(reading([float(seconds) for seconds in burst]) for burst in process(slower))

    def many(slower: float) -> list[float]:
        pairs = tuple(Pair(k, bursts(1.0), bursts(slower)) for k in range(2 * PAIRS))
        return list(CaseTrial(CASE, pairs).log_ratios)

    rules: dict[str, tuple[float, ...]] = {}
    for doubled in (False, True):
        same = [trial(many(1.0), doubled=doubled) for _ in range(count)]
        slower = [trial(many(1.10), doubled=doubled) for _ in range(count)]
        rules["doubled" if doubled else "10 pairs"] = (*fraction(same), *fraction(slower))
    pooled = [
        scipy.stats.mannwhitneyu(
            *(np.concatenate([process(1.0).ravel() for _ in range(10)]) for _ in range(2))
        ).pvalue
        < 0.05
        for _ in range(count)
    ]
    rules["Mann-Whitney, pooled"] = (float(np.mean(pooled)),)
    return rules


def row(condition: str, name: str, rule: str, cells: Sequence[float]) -> None:
    """Prints false alarms, those that fail a gate, detected slowdowns, and those that fail it; for a peer, alarms and detected."""
    text = " | ".join(f"{100 * cell:.1f}%" for cell in cells)
    print(f"| {condition} | {name} | {rule} | {text} |", file=sys.stderr, flush=True)


def table(conditions: dict[str, dict[str, list]]) -> dict[str, object]:
    """Computes and prints the rates of every rule."""
    results: dict[str, object] = {}
    for condition, raw in conditions.items():
        for name in WORK:
            pairs = [bursts[name] for bursts in raw["pairs"]]
            trials = readings(pairs, "same"), readings(pairs, "slower")
            rows: dict[str, tuple[float, ...]] = {}
            for doubled, rule in ((False, "10 pairs"), (True, "10 pairs, 10 more where undecided")):
                rows[rule] = rates(trials[0].log_ratios, trials[1].log_ratios, doubled=doubled)
            rows |= peers([process[name] for process in raw["peers"]])
            for rule, cells in rows.items():
                row(condition, f"{name} ({trials[0].reading})", rule, cells)
            results[f"{condition}, {name}"] = rows
    results["synthetic"] = synthetic()
    for rule, cells in results["synthetic"].items():
        row("synthetic", "", rule, cells)
    return results


def main() -> None:
    if sys.argv[1:2] == ["--table"]:
        table(json.loads(Path(sys.argv[2]).read_text())["raw"])
        return
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    raw = {
        condition: measured(pairs, programs) for condition, programs in (("quiet", 0), ("background load", 1))
    }
    json.dump({"raw": raw, "rates": table(raw)}, sys.stdout)


if __name__ == "__main__":
    main()
