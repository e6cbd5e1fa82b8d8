"""How well whole steps are predicted from operators measured alone: what runs say, as the tables of docs/pages/explanation/measured.

    plumbline bench calibration train_step inference --threads 1 --results /tmp/one
    plumbline bench calibration train_step inference --results /tmp/all
    python docs/benchmarks/costmodel.py /tmp/one/* /tmp/all/*

Keeps every step's numbers in results/reference/benchmarks/costmodel.json.
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
    """Judges each run anew, and prints and keeps what came out."""
    runs = [judge(store.read(Path(folder))) for folder in folders]
    kept = [kept_of(run) for run in runs]
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    print(
        "| threads | steps | way | mean error | bias | worst | in the 90 % interval |\n|---|---|---|---|---|---|---|"
    )
    for run in runs:
        for validation in run.header.validations:
            for way in validation.ways:
                inside = units.percent(validation.coverage) if way.way == "cost model" else ""
                told = (str(run.header.settings.threads), f"{way.cases} of {validation.suite}", way.way)
                errors = (
                    units.percent(way.mape),
                    units.signed_percent(way.bias),
                    units.signed_percent(way.worst),
                )
                print(f"| {' | '.join((*told, *errors, inside))} |")
    print("\n| step | " + " | ".join(f"{run.header.settings.threads} threads" for run in runs) + " |")
    print("|---|" + "---|" * len(runs))
    for case in dict.fromkeys(one.case for run in runs for v in run.header.validations for one in v.cases):
        print(f"| {case} | {' | '.join(error_of(run, case) for run in runs)} |")
    print(
        "\n| operators | dtype | "
        + " | ".join(f"left out, {r.header.settings.threads} threads" for r in runs)
        + " |"
    )
    print("|---|---|" + "---|" * len(runs))
    models = dict.fromkeys((model.kind, model.dtype) for run in runs for model in model_models(run))
    for kind, dtype in models:
        cells = [
            next(
                (
                    units.percent(model.median)
                    for model in model_models(run)
                    if (model.kind, model.dtype) == (kind, dtype)
                ),
                "",
            )
            for run in runs
        ]
        print(f"| {kind} | {dtype} | {' | '.join(cells)} |")


def model_models(run: Run):  # noqa: ANN201 - a tuple of models
    """The models of a run's cost model."""
    return run.header.cost_model.models if run.header.cost_model else ()


def error_of(run: Run, case: str) -> str:
    """Expected over measured, less one; in brackets where the interval does not hold it."""
    for validation in run.header.validations:
        for one in validation.cases:
            if one.case == case:
                told = units.signed_percent(one.error)
                return told if one.inside else f"({told})"
    return ""


def kept_of(run: Run) -> dict[str, object]:
    """The raw numbers."""
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
