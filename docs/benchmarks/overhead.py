"""Measure how long a case takes, and how much of a run is neither measurement nor preparation in a worker.

    python docs/benchmarks/overhead.py > results/reference/benchmarks/overhead.json

The table goes to standard error. The script runs some of the bundled cases in the profiles quick and standard.
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
    profiles: dict[str, Any] = {}
    for profile, expression in SELECTED.items():
        with tempfile.TemporaryDirectory() as folder:
            profiles[profile] = timed(Request(expression=expression, profile=profile, results=Path(folder)))
    json.dump(profiles, sys.stdout, indent=1)
    for profile, total in profiles.items():
        batches, asking = total["batch_seconds"], total["asking_seconds"]
        measuring = total["measuring_seconds"]
        print(
            f"| {profile} | {total['cases']} | {batches / total['cases']:.2f} s | {total['longest_case_seconds']:.2f} s | "
            f"{100 * (batches - asking) / batches:.1f}% | {100 * (asking - measuring) / batches:.1f}% |",
            file=sys.stderr,
        )


def timed(request: Request) -> dict[str, float]:
    """Runs a bench and returns seconds: of all batches with their recording, of all requests in them, of all work in workers."""
    total = {"batch_seconds": 0.0, "asking_seconds": 0.0, "measuring_seconds": 0.0}
    by_case: dict[str, float] = {}
    ask, measure, peaks = WorkerPool.ask, runner.Runner.measure, runner.Runner.measure_peaks

    def asked(self: WorkerPool, index: int, question: Any, kind: Any, limit: float) -> Any:
        start = time.perf_counter()
        reply = ask(self, index, question, kind, limit)
        seconds = time.perf_counter() - start
        if type(question).__name__ != "MeasurePeaks":
            total["asking_seconds"] += seconds
            # Work that a worker does not time (making tensors, warming up) counts as measurement.
            total["measuring_seconds"] += reply.elapsed_seconds if isinstance(reply, Taken) else seconds
            if getattr(question, "case", None):
                by_case[question.case] = by_case.get(question.case, 0.0) + seconds
        return reply

    inside = [False]

    def measured(self: runner.Runner, *arguments: Any) -> None:
        start, inside[0] = time.perf_counter(), True
        measure(self, *arguments)
        inside[0] = False
        total["batch_seconds"] += time.perf_counter() - start

    def rounds(self: runner.Runner) -> None:
        """Excludes a round of peaks from its batch, even where a batch begins with the round."""
        start = time.perf_counter()
        peaks(self)
        if inside[0]:
            total["batch_seconds"] -= time.perf_counter() - start

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
