"""`plumbline predict`."""

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Json, ModelArgument, Results, app, print_json


@app.command()
def predict(
    model: ModelArgument,
    *,
    optimizer: Annotated[str, typer.Option(help="Optimizer: sgd, momentum, adam or adamw.")] = "adamw",
    dtype: Annotated[
        str, typer.Option(help="Precision: float32, or bfloat16 (by autocast in training).")
    ] = "float32",
    device: Annotated[
        str, typer.Option(help="Device of the prediction: auto, cpu, cuda or cuda:N.")
    ] = "auto",
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Predict what your own model needs, without running it: FLOPs, bytes, memory, lower bound of the time."""
    from harness.measure.prediction import forecast
    from harness.report.prediction import as_json, show_forecast
    from harness.report.terminal import screen

    with redirect_stdout(sys.stderr):  # output of the model's code is not part of the answer
        predicted = forecast(model, device=device, optimizer=optimizer, dtype=dtype, results=results)
    if json:
        print_json(as_json(predicted))
    else:
        show_forecast(predicted, screen())
