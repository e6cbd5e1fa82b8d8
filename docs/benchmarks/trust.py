"""Measure false alarms, power and coverage of Plumbline and of two other tools, quiet and with background load.

    python docs/benchmarks/trust.py [PAIRS] > results/reference/benchmarks/trust.json

The table goes to standard error. Plumbline's self-test and the processes of the other tools (peers) alternate in one run.
After each pair of Plumbline's processes, two fresh processes measure the same work with torch.utils.benchmark and with
pytest-benchmark. A peer compares the medians of two processes, all pairs of them, at the same gate of 3%.
"""

import json
import subprocess
import sys
import tempfile
from itertools import permutations
from pathlib import Path

import msgspec

from harness.measure.openmp import bound_spinning

bound_spinning()

from harness.records.noise import GATE, INJECTED, NoiseProfile  # noqa: E402
from harness.selftest.run import selftest  # noqa: E402

THREADS = 2
PEER = f"""
import json, sys
from harness.measure.openmp import bound_spinning
bound_spinning()
import pytest, torch
from torch.utils.benchmark import Timer
from harness.selftest.work import kinds
medians, calls = {{}}, {{}}
for kind in kinds("cpu", {THREADS}):
    name = f"{{kind.name}}, {{kind.threads}}"
    torch.set_num_threads(kind.threads)
    calls[name] = (kind.threads, kind.workload.prepare(torch.device("cpu")))
    timer = Timer("call()", globals={{"call": calls[name][1]}}, num_threads=kind.threads)
    medians[name] = {{"torch.utils.benchmark": timer.blocked_autorange(min_run_time=0.5).median}}
open(sys.argv[1] + "/test_peer.py", "w").write('''
import pytest, torch
from __main__ import calls
@pytest.mark.parametrize("name", list(calls))
def test_call(name, benchmark):
    torch.set_num_threads(calls[name][0])
    benchmark(calls[name][1])
''')
out = sys.argv[1] + "/out.json"
options = ["-p", "no:cacheprovider", "-c", "/dev/null", "--benchmark-max-time=0.5"]
pytest.main([sys.argv[1] + "/test_peer.py", *options, "--benchmark-json=" + out, "--benchmark-quiet"])
for entry in json.load(open(out))["benchmarks"]:
    medians[entry["param"]]["pytest-benchmark"] = entry["stats"]["median"]
json.dump(medians, open(sys.argv[1] + "/medians.json", "w"))
"""


def peer() -> dict[str, dict[str, float]]:
    """Returns the medians of a fresh process: by kind, then by tool."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", PEER, folder], stdout=subprocess.DEVNULL, check=True)
        return json.loads((Path(folder) / "medians.json").read_text())


def measured(pairs: int, programs: int) -> tuple[NoiseProfile, list[dict[str, dict[str, float]]]]:
    loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    peers: list[dict[str, dict[str, float]]] = []

    def note(text: str) -> None:
        print(f"{programs} other programs: {text}", file=sys.stderr, flush=True)
        if text.startswith("pair"):
            peers.extend([peer(), peer()])

    try:
        return selftest("cpu", THREADS, pairs, note), peers
    finally:
        for load in loads:
            load.kill()


def row(profile: NoiseProfile, peers: list[dict[str, dict[str, float]]], condition: str) -> None:
    for kind in profile.kinds:
        name = f"{kind.name}, {kind.threads}"
        cells = [
            f"{100 * kind.false_alarms:.1f}%",
            f"{100 * kind.power:.0f}%",
            f"{100 * kind.detectable():.1f}%",
            f"{100 * (kind.coverage or 0):.0f}% (± {100 * kind.half_width:.1f}%)",
            f"{100 * (kind.coverage_alone or 0):.0f}%",
            f"{100 * kind.flagged:.0f}%",
        ]
        for tool in ("torch.utils.benchmark", "pytest-benchmark"):
            medians = [peer[name][tool] for peer in peers]
            ratios = [b / a for a, b in permutations(medians, 2)]
            alarms = sum(r > 1 + GATE for r in ratios) / len(ratios)
            detected = sum(r * (1 + INJECTED) > 1 + GATE for r in ratios) / len(ratios)
            cells.append(f"{100 * alarms:.0f}% / {100 * detected:.0f}%")
        print(f"| {condition} | {name} | {' | '.join(cells)} |", file=sys.stderr)


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    conditions = {}
    for programs, condition in ((0, "quiet"), (1, "background load")):
        profile, peers = measured(pairs, programs)
        conditions[condition] = {"profile": msgspec.to_builtins(profile), "peers": peers}
        row(profile, peers, condition)
    json.dump(conditions, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
