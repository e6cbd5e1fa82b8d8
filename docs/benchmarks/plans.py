"""Measure how well a plan, from a configuration alone, predicts the steps of a run: parameters, FLOPs, memory, time.

    python docs/benchmarks/plans.py [RUN] > results/reference/benchmarks/plans.json

The table goes to standard error. Nothing is measured: each model is traced again from its configuration, and the cost model
of the run estimates its time.
"""

import json
import sys
from pathlib import Path

from harness import stats, store, units
from harness.check.plans import planned
from harness.measure.prediction import local, step
from harness.models.shapes import configuration
from harness.plan.activations import Way
from harness.plan.memory import fullest
from harness.plan.options import Question
from harness.records import Result
from harness.records.architecture import Layout, Recipe

REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference" / "epyc-2-cores-cpu"


def main() -> None:
    run = store.read(Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE)
    machine = local(run.header)
    rows = [row for result in run.measured if (row := _row(result, machine))]
    errors: dict[str, list[float]] = {}
    for row in rows:
        errors.setdefault(str(row["architecture"]), []).append(abs(float(str(row["seconds_off"]))))
    median = {name: stats.median(values) for name, values in errors.items()}
    json.dump({"run": run.header.id, "steps": rows, "by_architecture": median}, sys.stdout, indent=1)
    for row in rows:
        cells = (units.seconds(float(str(row[name]))) for name in ("planned_seconds", "measured_seconds"))
        print(
            f"| {row['case']} | {' | '.join(cells)} | {units.signed_percent(float(str(row['seconds_off'])))} | {units.signed_percent(float(str(row['memory_off']))) if row['memory_off'] is not None else ''} |",
            file=sys.stderr,
        )
    print(
        f"median over {len(median)} architectures: {units.percent(stats.median(list(median.values())))}; over {len(rows)} steps: {units.percent(stats.median([abs(float(str(row['seconds_off']))) for row in rows]))}",
        file=sys.stderr,
    )


def _row(result: Result, machine: object) -> dict[str, object] | None:
    plan = planned(result)
    if plan is None or result.measurement is None:
        return None
    model, lengths = plan
    words = result.case.id.split("-")
    dtype = "float32" if result.case.dtype != "bfloat16" else "bfloat16"
    recipe = Recipe("autocast" if dtype == "bfloat16" else "float32", words[3])
    fields = dict(configuration(words[1], result.case.sizes) or {})
    if "image" in result.case.sizes:
        fields["image_size"] = result.case.sizes["image"]
    question = Question(model, lengths, float(lengths.tokens), dtype, recipe, Layout(flash=True))
    estimate, _ = step(question, fields, machine)  # type: ignore[arg-type]
    need, peak = (
        fullest(model, recipe, question.layout, lengths, Way.IMPLEMENTATION),
        result.measurement.peak_memory_bytes,
    )
    return {
        "case": result.case.id,
        "architecture": words[1],
        "planned_seconds": estimate.seconds,
        "low": estimate.low,
        "high": estimate.high,
        "measured_seconds": result.measurement.median,
        "seconds_off": estimate.seconds / result.measurement.median - 1.0,
        "planned_peak": need.peak,
        "measured_peak": peak,
        "memory_off": need.peak / peak - 1.0 if peak and need.activations is not None else None,
    }


if __name__ == "__main__":
    main()
