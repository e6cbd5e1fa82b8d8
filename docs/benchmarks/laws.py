"""The fitter against made-up machines whose model is known, beside Extra-P and an unweighted `scipy.optimize.curve_fit`.

    python docs/benchmarks/models.py [PYTHON] > results/reference/benchmarks/models.json
PYTHON is an interpreter that has extrap (`python -m venv v; v/bin/pip install extrap`); without one that peer is left out.
The table goes to standard error. Nothing is timed but the fits themselves: any machine gives the same errors.

Each machine repeats each size 5 times with 3 % lognormal noise; some of the times are 1.5 to 6 times too long, as preempted
ones are. Plumbline is told FLOPs and bytes and chooses the model; curve_fit is told the true model and fits it to absolute
errors; Extra-P is told sizes and chooses among powers and logarithms.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit

from harness.fit.fitted import Fitted, fit
from harness.fit.models import logarithms
from harness.fit.solver import Points

Vector = NDArray[np.float64]
RATE, SEEDS, REPEATS, NOISE, BEYOND = 50e9, 60, 5, 0.03, 8192.0
GRIDS = {"powers of 2": 64.0 * 2.0 ** np.arange(7), "steps of sqrt 2": 64.0 * 2.0 ** (np.arange(13) / 2)}
OUTLIERS = (0.0, 0.1, 0.3)


def flops(n: Vector) -> Vector:
    return 2.0 * n**3


def round_spread(n: Vector) -> Vector:
    return 12.0 * n**2


# The name of a machine: its model, its times, the model as curve_fit gets it, and where that starts.
MACHINES: dict[str, tuple[str, Callable[[Vector], Vector], Callable[..., Vector], list[float]]] = {
    "additive": (
        "t0 + F/P",
        lambda n: 5e-6 + flops(n) / RATE,
        lambda n, t0, rate: t0 + flops(n) / (rate * 1e9),
        [1e-5, 10.0],
    ),
    "floor": (
        "max(t0, F/P)",
        lambda n: np.maximum(60e-6, flops(n) / RATE),
        lambda n, t0, rate: np.maximum(t0, flops(n) / (rate * 1e9)),
        [1e-5, 10.0],
    ),
    "roofline": (
        "t0 + max(F/P, B/W)",
        lambda n: 20e-6 + np.maximum(flops(n) / RATE, round_spread(n) / 2.5e9),
        lambda n, t0, rate, wide: t0 + np.maximum(flops(n) / (rate * 1e9), round_spread(n) / (wide * 1e9)),
        [1e-5, 10.0, 1.0],
    ),
}
EXTRAP = """
import json, sys
from extrap.entities.callpath import Callpath
from extrap.entities.coordinate import Coordinate
from extrap.entities.measurement import Measurement
from extrap.entities.metric import Metric
from extrap.modelers.single_parameter.basic import SingleParameterModeler
asked, told = json.load(sys.stdin), []
for sizes, times, wanted in asked:
    data = [Measurement(Coordinate(n), Callpath("p"), Metric("time"), row) for n, row in zip(sizes, times)]
    function = SingleParameterModeler().create_model(data).hypothesis.function
    told.append([float(function.evaluate(n)) for n in wanted])
json.dump(told, sys.stdout)
"""


def times_of(machine: str, sizes: Vector, outliers: float, seed: int) -> Vector:
    """A row of repeats for each size."""
    random = np.random.default_rng(seed)
    shape = (len(sizes), REPEATS)
    times = MACHINES[machine][1](sizes)[:, None] * random.lognormal(0.0, NOISE, shape)
    late = random.random(shape) < outliers
    return np.where(late, times * random.uniform(1.5, 6.0, shape), times)


def plumbline(sizes: Vector, times: Vector) -> Fitted:
    fitted = fit(Points.of({"flops": flops(sizes), "bytes": round_spread(sizes)}, list(times)))
    if fitted is None:
        raise RuntimeError("no model describes a machine that has one")
    return fitted


def expected(fitted: Fitted, sizes: Vector) -> Vector:
    columns = {"flops": logarithms(flops(sizes)), "bytes": logarithms(round_spread(sizes))}
    return np.array([one.seconds for one in fitted.expect(columns)])


def unweighted(machine: str, sizes: Vector, times: Vector, wanted: Vector) -> Vector:
    _, _, model, start = MACHINES[machine]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        found, _ = curve_fit(model, np.repeat(sizes, REPEATS), times.ravel(), p0=start, maxfev=20000)
    return model(wanted, *found)


def with_extrap(python: str, asked: list[tuple[Vector, Vector, Vector]]) -> list[Vector]:
    sent = json.dumps([[one.tolist() for one in three] for three in asked])
    told = subprocess.run(
        [python, "-c", EXTRAP],
        input=sent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return [np.array(row) for row in json.loads(told.stdout)]


def errors(machine: str, wanted: Vector, found: list[Vector]) -> dict[str, float]:
    """Of a tool, over the seeds: on the sizes, and at twice the largest. The last wanted is the one beyond."""
    truth = MACHINES[machine][1](wanted)
    off = np.abs(np.array(found) / truth - 1.0)
    worst = off[:, :-1].max(axis=1)
    return {
        "worst_median": float(np.median(worst)),
        "worst_p95": float(np.quantile(worst, 0.95)),
        "beyond_median": float(np.median(off[:, -1])),
        "negative": float(np.mean(np.min(found, axis=1) <= 0.0)),
    }


def tried(machine: str, sizes: Vector, outliers: float, python: str | None) -> dict[str, object]:
    data = [times_of(machine, sizes, outliers, seed) for seed in range(SEEDS)]
    wanted = np.append(sizes, BEYOND)
    begun = time.perf_counter()
    fits = [plumbline(sizes, times) for times in data]
    rates = [next(parameter for parameter in fitted.parameters if parameter.name == "P") for fitted in fits]
    took = (time.perf_counter() - begun) / SEEDS
    known = [rate for rate in rates if rate.value is not None]
    ours = errors(machine, wanted, [expected(fitted, wanted) for fitted in fits])
    ours |= {
        "model_right": float(np.mean([fitted.model == MACHINES[machine][0] for fitted in fits])),
        "rate_identified": len(known) / SEEDS,
        "rate_error_median": float(np.median([abs((one.value or 0.0) / RATE - 1.0) for one in known])),
        "rate_covered": float(np.mean([(one.low or 0.0) <= RATE <= (one.high or 0.0) for one in known])),
        "seconds_a_fit": took,
    }
    told: dict[str, object] = {"plumbline": ours}
    told["curve_fit"] = errors(machine, wanted, [unweighted(machine, sizes, times, wanted) for times in data])
    if python:
        told["extrap"] = errors(
            machine, wanted, with_extrap(python, [(sizes, times, wanted) for times in data])
        )
    return told


def percent(value: float) -> str:
    return f"{100 * value:.2f} %" if value < 0.1 else f"{100 * value:,.0f} %"


def main() -> None:
    python = sys.argv[1] if len(sys.argv) > 1 else None
    kept = []
    for machine in MACHINES:
        for grid, sizes in GRIDS.items():
            for outliers in OUTLIERS:
                told = tried(machine, sizes, outliers, python)
                kept.append(
                    {"machine": machine, "grid": grid, "sizes": len(sizes), "outliers": outliers, **told}
                )
                ours = told["plumbline"]
                cells = [machine, str(len(sizes)), percent(outliers) if outliers else "0 %"]
                cells += [f"{percent(ours[name])}" for name in ("worst_median", "worst_p95", "beyond_median")]
                cells += [
                    percent(ours[name]) for name in ("rate_error_median", "rate_covered", "model_right")
                ]
                for peer in ("extrap", "curve_fit"):
                    if peer in told:
                        one = told[peer]
                        cells.append(
                            f"{percent(one['worst_median'])} / {percent(one['beyond_median'])} / {percent(one['negative'])}"
                        )
                print(f"| {' | '.join(cells)} |", file=sys.stderr, flush=True)
    json.dump({"seeds": SEEDS, "repeats": REPEATS, "noise": NOISE, "rows": kept}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
