"""Measure how well the cost model estimates whole steps: the tables of docs/pages/explanation/measured/steps.md.

    plumbline bench calibration train_step inference --threads 1 --results /tmp/one
    plumbline bench calibration train_step inference --results /tmp/all
    python docs/benchmarks/costmodel.py /tmp/one/* /tmp/all/*

The script writes the numbers of every step to results/reference/benchmarks/costmodel.json.
"""

import sys
from pathlib import Path

import msgspec

from harness import store, units
from harness.check.judge import judge
from harness.records import Run

KEPT = (
    Path(__file__).resolve().parent.parent.parent / "results" / "reference" / "benchmarks" / "costmodel.json"
)


def main(folders: list[str]) -> None:
    """Judges each run again, prints the tables and writes the raw numbers."""
    runs = [judge(store.read(Path(folder))) for folder in folders]
    records = [record_of(run) for run in runs]
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(records), indent=1) + b"\n")
    print(
        "| threads | steps | method | mean error | bias | worst | coverage of the 90% interval |\n|---|---|---|---|---|---|---|"
    )
    for run in runs:
        for validation in run.header.validations:
            for way in validation.ways:
                inside = units.percent(validation.coverage) if way.way == "cost model" else ""
                subject = (str(run.header.settings.threads), f"{way.cases} of {validation.suite}", way.way)
                errors = (
                    units.percent(way.mape),
                    units.signed_percent(way.bias),
                    units.signed_percent(way.worst),
                )
                print(f"| {' | '.join((*subject, *errors, inside))} |")
    print("\n| step | " + " | ".join(f"{run.header.settings.threads} threads" for run in runs) + " |")
    print("|---|" + "---|" * len(runs))
    for case in dict.fromkeys(
        judged.case for run in runs for validation in run.header.validations for judged in validation.cases
    ):
        print(f"| {case} | {' | '.join(error_of(run, case) for run in runs)} |")
    print(
        "\n| operators | dtype | "
        + " | ".join(f"left-out error, {run.header.settings.threads} threads" for run in runs)
        + " |"
    )
    print("|---|---|" + "---|" * len(runs))
    models = dict.fromkeys((model.kind, model.dtype) for run in runs for model in operator_models(run))
    for kind, dtype in models:
        cells = [
            next(
                (
                    units.percent(model.median)
                    for model in operator_models(run)
                    if (model.kind, model.dtype) == (kind, dtype)
                ),
                "",
            )
            for run in runs
        ]
        print(f"| {kind} | {dtype} | {' | '.join(cells)} |")


def operator_models(run: Run):  # noqa: ANN201 - a tuple of operator models
    """Returns the operator models of the run's cost model."""
    return run.header.cost_model.models if run.header.cost_model else ()


def error_of(run: Run, case: str) -> str:
    """Returns estimated over measured minus one, in brackets where the interval does not cover the measurement."""
    for validation in run.header.validations:
        for judged in validation.cases:
            if judged.case == case:
                error = units.signed_percent(judged.error)
                return error if judged.inside else f"({error})"
    return ""


def record_of(run: Run) -> dict[str, object]:
    header = run.header
    return {
        "run": header.id,
        "processor": header.environment.processor.model_name,
        "torch": header.environment.software.torch.version,
        "threads": header.settings.threads,
        "profile": header.settings.profile,
        "validations": header.validations,
        "cost_model": header.cost_model,
    }


main(sys.argv[1:])
