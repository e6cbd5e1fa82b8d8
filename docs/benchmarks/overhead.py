"""How long a case takes, and how much of a run is neither a worker's time nor its start.

    python docs/benchmarks/overhead.py > results/reference/benchmarks/overhead.json
The table goes to standard error. Runs `plumbline bench` on some of the bundled cases in profiles quick and standard.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.measure import runner
from harness.measure.pool import WorkerPool
from harness.measure.protocol import Taken
from harness.pytest_plugin.collection import Request
from harness.pytest_plugin.pipeline import run

SELECTED = {
    "quick": "float32 and not (m64 and triad)",
    "standard": "matmul and float32 and not (m4096 or m3072 or m11008) or reduction",
}


def main() -> None:
    found: dict[str, Any] = {}
    for profile, expression in SELECTED.items():
        with tempfile.TemporaryDirectory() as folder:
            found[profile] = timed(Request(expression=expression, profile=profile, results=Path(folder)))
    json.dump(found, sys.stdout, indent=1)
    for profile, one in found.items():
        batchs, asking, measuring = one["batch_seconds"], one["asking_seconds"], one["measuring_seconds"]
        print(
            f"| {profile} | {one['cases']} | {batchs / one['cases']:.2f} s | {one['longest_case_seconds']:.2f} s | "
            f"{100 * (batchs - asking) / batchs:.1f} % | {100 * (asking - measuring) / batchs:.1f} % |",
            file=sys.stderr,
        )


def timed(request: Request) -> dict[str, float]:
    """Runs a bench; in seconds: all batches with their recording, all questions in them, all work of workers."""
    total = {"batch_seconds": 0.0, "asking_seconds": 0.0, "measuring_seconds": 0.0}
    by_case: dict[str, float] = {}
    ask, measure, peaks = WorkerPool.ask, runner.Runner.measure, runner.Runner.measure_peaks

    def asked(self: WorkerPool, index: int, question: Any, kind: Any, limit: float) -> Any:
        began = time.perf_counter()
        reply = ask(self, index, question, kind, limit)
        seconds = time.perf_counter() - began
        if type(question).__name__ != "MeasureCeilings":
            total["asking_seconds"] += seconds
            # What a worker does not time itself (making tensors, warming up) counts as measuring.
            total["measuring_seconds"] += reply.elapsed_seconds if isinstance(reply, Taken) else seconds
            if getattr(question, "case", None):
                by_case[question.case] = by_case.get(question.case, 0.0) + seconds
        return reply

    inside = [False]

    def measured(self: runner.Runner, *arguments: Any) -> None:
        began, inside[0] = time.perf_counter(), True
        measure(self, *arguments)
        inside[0] = False
        total["batch_seconds"] += time.perf_counter() - began

    def rounds(self: runner.Runner) -> None:
        """A round of peaks is no part of a batch, though a batch may begin with one."""
        began = time.perf_counter()
        peaks(self)
        if inside[0]:
            total["batch_seconds"] -= time.perf_counter() - began

    WorkerPool.ask, runner.Runner.measure = asked, measured  # type: ignore[method-assign]
    runner.Runner.measure_peaks = rounds  # type: ignore[method-assign]
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        run(request)
    finally:
        sys.stdout = stdout
        WorkerPool.ask, runner.Runner.measure = ask, measure  # type: ignore[method-assign]
        runner.Runner.measure_peaks = peaks  # type: ignore[method-assign]
    return {
        **total,
        "cases": len(by_case),
        "longest_case_seconds": max(by_case.values()),
        "case_seconds": by_case,
    }


if __name__ == "__main__":
    main()
