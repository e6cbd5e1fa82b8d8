"""Compare the fitter with Extra-P and an unweighted `scipy.optimize.curve_fit` on synthetic machines whose model is known.

    python docs/benchmarks/fits.py [PYTHON] > results/reference/benchmarks/fits.json

PYTHON is an interpreter that has extrap (`python -m venv v; v/bin/pip install extrap`). Without it, Extra-P is left out.
The table goes to standard error. Only the fits themselves are timed, so every machine gives the same errors.

Each machine repeats each size 5 times with 3% lognormal noise. Outliers are 1.5 to 6 times too long, like the times of a
preempted process. Plumbline receives FLOPs and bytes and chooses the model. curve_fit receives the true model and minimizes
absolute errors. Extra-P receives sizes and chooses among powers and logarithms.
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


def bytes_moved(n: Vector) -> Vector:
    return 12.0 * n**2


# For each machine: the name of its model, its times, the model for curve_fit, and the start of that fit.
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
        lambda n: 20e-6 + np.maximum(flops(n) / RATE, bytes_moved(n) / 2.5e9),
        lambda n, t0, rate, wide: t0 + np.maximum(flops(n) / (rate * 1e9), bytes_moved(n) / (wide * 1e9)),
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
predictions = []
for sizes, times, targets in json.load(sys.stdin):
    data = [Measurement(Coordinate(n), Callpath("p"), Metric("time"), row) for n, row in zip(sizes, times)]
    function = SingleParameterModeler().create_model(data).hypothesis.function
    predictions.append([float(function.evaluate(n)) for n in targets])
json.dump(predictions, sys.stdout)
"""


def times_of(machine: str, sizes: Vector, outliers: float, seed: int) -> Vector:
    """Returns a row of repeats for each size."""
    random = np.random.default_rng(seed)
    shape = (len(sizes), REPEATS)
    times = MACHINES[machine][1](sizes)[:, None] * random.lognormal(0.0, NOISE, shape)
    preempted = random.random(shape) < outliers
    return np.where(preempted, times * random.uniform(1.5, 6.0, shape), times)


def plumbline(sizes: Vector, times: Vector) -> Fitted:
    fitted = fit(Points.of({"flops": flops(sizes), "bytes": bytes_moved(sizes)}, list(times)))
    if fitted is None:
        raise RuntimeError("no model was fitted to a machine whose model is known")
    return fitted


def predicted(fitted: Fitted, sizes: Vector) -> Vector:
    columns = {"flops": logarithms(flops(sizes)), "bytes": logarithms(bytes_moved(sizes))}
    return np.array([prediction.seconds for prediction in fitted.expect(columns)])


def unweighted(machine: str, sizes: Vector, times: Vector, targets: Vector) -> Vector:
    _, _, model, start = MACHINES[machine]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        parameters, _ = curve_fit(model, np.repeat(sizes, REPEATS), times.ravel(), p0=start, maxfev=20000)
    return model(targets, *parameters)


def with_extrap(python: str, series: list[tuple[Vector, Vector, Vector]]) -> list[Vector]:
    process = subprocess.run(
        [python, "-c", EXTRAP],
        input=json.dumps([[vector.tolist() for vector in vectors] for vectors in series]),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return [np.array(row) for row in json.loads(process.stdout)]


def errors(machine: str, targets: Vector, predictions: list[Vector]) -> dict[str, float]:
    """Returns the errors of a tool over the seeds: on the sizes, and at the last target, twice the largest size."""
    truth = MACHINES[machine][1](targets)
    off = np.abs(np.array(predictions) / truth - 1.0)
    worst = off[:, :-1].max(axis=1)
    return {
        "worst_median": float(np.median(worst)),
        "worst_p95": float(np.quantile(worst, 0.95)),
        "beyond_median": float(np.median(off[:, -1])),
        "negative": float(np.mean(np.min(predictions, axis=1) <= 0.0)),
    }


def compared(machine: str, sizes: Vector, outliers: float, python: str | None) -> dict[str, object]:
    data = [times_of(machine, sizes, outliers, seed) for seed in range(SEEDS)]
    targets = np.append(sizes, BEYOND)
    start = time.perf_counter()
    fits = [plumbline(sizes, times) for times in data]
    rates = [next(parameter for parameter in fitted.parameters if parameter.name == "P") for fitted in fits]
    seconds_a_fit = (time.perf_counter() - start) / SEEDS
    identified = [rate for rate in rates if rate.value is not None]
    ours = errors(machine, targets, [predicted(fitted, targets) for fitted in fits])
    ours |= {
        "model_right": float(np.mean([fitted.model == MACHINES[machine][0] for fitted in fits])),
        "rate_identified": len(identified) / SEEDS,
        "rate_error_median": float(np.median([abs((rate.value or 0.0) / RATE - 1.0) for rate in identified])),
        "rate_covered": float(
            np.mean([(rate.low or 0.0) <= RATE <= (rate.high or 0.0) for rate in identified])
        ),
        "seconds_a_fit": seconds_a_fit,
    }
    tools: dict[str, object] = {"plumbline": ours}
    tools["curve_fit"] = errors(
        machine, targets, [unweighted(machine, sizes, times, targets) for times in data]
    )
    if python:
        tools["extrap"] = errors(
            machine, targets, with_extrap(python, [(sizes, times, targets) for times in data])
        )
    return tools


def percent(value: float) -> str:
    return f"{100 * value:.2f}%" if value < 0.1 else f"{100 * value:,.0f}%"


def main() -> None:
    python = sys.argv[1] if len(sys.argv) > 1 else None
    rows = []
    for machine in MACHINES:
        for grid, sizes in GRIDS.items():
            for outliers in OUTLIERS:
                tools = compared(machine, sizes, outliers, python)
                rows.append(
                    {"machine": machine, "grid": grid, "sizes": len(sizes), "outliers": outliers, **tools}
                )
                ours = tools["plumbline"]
                cells = [machine, str(len(sizes)), percent(outliers) if outliers else "0%"]
                cells += [f"{percent(ours[name])}" for name in ("worst_median", "worst_p95", "beyond_median")]
                cells += [
                    percent(ours[name]) for name in ("rate_error_median", "rate_covered", "model_right")
                ]
                for peer in ("extrap", "curve_fit"):
                    if peer in tools:
                        measured = tools[peer]
                        cells.append(
                            f"{percent(measured['worst_median'])} / {percent(measured['beyond_median'])} / {percent(measured['negative'])}"
                        )
                print(f"| {' | '.join(cells)} |", file=sys.stderr, flush=True)
    json.dump({"seeds": SEEDS, "repeats": REPEATS, "noise": NOISE, "rows": rows}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
