"""Compare the timer with torch.utils.benchmark and the timing of pytest-benchmark on the same calls.

    python docs/benchmarks/timer.py > results/reference/benchmarks/timer.json

Rounds of all three alternate in one process, so drift affects all alike. Run it on a quiet machine. The table goes to standard error.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.measure.openmp import bound_spinning

bound_spinning()

import pytest  # noqa: E402
import torch  # noqa: E402
from torch.utils import benchmark  # noqa: E402

from harness import stats, units  # noqa: E402
from harness.measure.devices.cpu import Cpu  # noqa: E402
from harness.measure.timer import Glance, Timer  # noqa: E402

ROUNDS = 7
SIZES = (("float32", 64), ("float32", 256), ("float32", 1024), ("bfloat16", 512))
CALLS = {}
# The same time as the other two tools use.
LOOK = Glance(warmup_seconds=0.1, seconds=0.5, least_samples=5, most_samples=512, min_sample_seconds=2e-4)

PYTEST = """
import pytest
@pytest.mark.parametrize("name", NAMES)
def test_call(name, benchmark):
    benchmark(CALLS[name])
"""


def product(dtype: str, n: int) -> Callable[[], object]:
    a, b = (torch.randn(n, n).to(getattr(torch, dtype)) for _ in range(2))
    c = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=c)


def with_pytest_benchmark(folder: Path) -> dict[str, float]:
    test, out = folder / f"test_{folder.name}.py", folder / "out.json"
    test.write_text(f"from __main__ import CALLS\nNAMES = {list(CALLS)!r}\n{PYTEST}")
    options = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--benchmark-max-time=0.5"]
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        pytest.main([str(test), *options, f"--benchmark-json={out}", "--benchmark-quiet"])
    finally:
        sys.stdout = stdout
    entries = json.loads(out.read_text())["benchmarks"]
    return {entry["param"]: entry["stats"]["median"] for entry in entries}


def main() -> None:
    device = Cpu()
    CALLS.update({f"{dtype} n={n}": product(dtype, n) for dtype, n in SIZES})
    medians: dict[str, dict[str, list[float]]] = {name: {} for name in CALLS}
    for _ in range(ROUNDS):
        timer = Timer(device)
        for name, call in CALLS.items():
            ours = stats.median(timer.glance(call, LOOK).trusted_seconds)
            torch_timer = benchmark.Timer("call()", globals={"call": call}, num_threads=device.threads)
            torch_median = torch_timer.blocked_autorange(min_run_time=0.5).median
            medians[name].setdefault("plumbline", []).append(ours)
            medians[name].setdefault("torch.utils.benchmark", []).append(torch_median)
        with tempfile.TemporaryDirectory() as folder:
            for name, median in with_pytest_benchmark(Path(folder)).items():
                medians[name].setdefault("pytest-benchmark", []).append(median)
    json.dump({"median_seconds": medians, "cost": cost(device)}, sys.stdout, indent=1)
    show(medians)


def cost(device: Cpu) -> dict[str, float]:
    """Returns the cost of a sample in addition to its calls, in seconds."""
    timer = Timer(device)
    before = device.host_seconds()
    count = 2000
    for _ in range(count):
        device.counters()
    counters = (device.host_seconds() - before) / count
    return {"inside_the_marks": timer.timer_cost_seconds, "counters_around_them": 2 * counters}


def show(medians: dict[str, dict[str, list[float]]]) -> None:
    for name, tools in medians.items():
        reference = stats.median(tools["plumbline"])
        for tool, values in tools.items():
            middle = stats.median(values)
            print(
                f"| {name} | {tool} | {units.seconds(middle)} | {units.seconds(min(values))} to "
                f"{units.seconds(max(values))} | {100 * (middle / reference - 1):+.1f}% |",
                file=sys.stderr,
            )


if __name__ == "__main__":
    main()
