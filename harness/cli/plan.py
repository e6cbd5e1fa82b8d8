"""`plumbline plan`."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import RESULTS, Json, Results, app, print_json
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.plan.options import Options, Question
    from harness.records import Run
    from harness.records.plan import Plan, Sweep


@app.command()
def plan(
    config: Annotated[
        str,
        typer.Argument(
            metavar="[CONFIG]",
            help="A config.json (file or folder), or a published model by name. Without it: --budget or --days.",
            show_default=False,
        ),
    ] = "",
    *,
    tokens: Annotated[
        str | None,
        typer.Option(
            help="Tokens of the whole training, as in 1.4T (default: 20 for each active parameter)."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples of a step, over all replicas.")] = 1,
    sequence: Annotated[
        int | None,
        typer.Option("--seq", help="Tokens of a sample (default: the model's context, at most 8192)."),
    ] = None,
    target: Annotated[
        int | None,
        typer.Option(
            "--target-seq", help="Tokens of a sample of the decoder, in a model that also has an encoder."
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="Precision of matrix products: float32, tf32, bfloat16 or float16.")
    ] = "bfloat16",
    states: Annotated[
        str | None,
        typer.Option(
            help="Training states at 16 bits: mixed (default), megatron, autocast, bfloat16 or float16."
        ),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="Optimizer: sgd, momentum, lion, adam, adamw or adam8bit.")
    ] = "adamw",
    dropout: Annotated[
        bool, typer.Option("--dropout", help="Keep dropout masks for the backward pass.")
    ] = False,
    recompute: Annotated[
        str,
        typer.Option(
            help="Activations to recompute in the backward pass: none, selective (attention's core) or full."
        ),
    ] = "none",
    flash: Annotated[
        bool, typer.Option("--flash", help="Use fused attention, which stores no attention probabilities.")
    ] = False,
    devices: Annotated[
        int | None, typer.Option(help="Number of devices (default: data x tensor x pipeline).")
    ] = None,
    tensor: Annotated[
        int, typer.Option(help="Tensor parallelism: number of devices that divide each matrix.")
    ] = 1,
    sequence_parallel: Annotated[
        bool,
        typer.Option(
            "--sequence-parallel", help="Also shard layer norms and dropout across tensor-parallel devices."
        ),
    ] = False,
    pipeline: Annotated[int, typer.Option(help="Pipeline parallelism: number of stages.")] = 1,
    interleave: Annotated[int, typer.Option(help="Chunks of layers on each pipeline stage.")] = 1,
    data: Annotated[
        int | None,
        typer.Option(help="Data parallelism: number of replicas (default: what --devices leaves)."),
    ] = None,
    zero: Annotated[
        int,
        typer.Option(
            help="ZeRO stage: shard optimizer states (1), also gradients (2), also weights (3) across replicas."
        ),
    ] = 0,
    microbatch: Annotated[
        int | None,
        typer.Option(help="Samples of one pass of a replica (default: all of them, or 1 in a pipeline)."),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="RUN | DEVICE",
            help="Machine to train on: a calibrated run (latest, an id, a path), or a device by name, as in H100.",
        ),
    ] = None,
    mfu: Annotated[
        str | None,
        typer.Option(help="Model FLOPs utilisation: fraction of the device's dense peak, as in 40%."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Memory of one device in bytes, as in 80Gi (default: the device's own)."),
    ] = None,
    link: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS,BYTES/S", help="Latency and bandwidth between devices, as in 5e-6,450e9."
        ),
    ] = None,
    watts: Annotated[
        str | None, typer.Option(help="Power draw of one device in watts: report the energy of the training.")
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="Price of one device, as in 2.5/h: report the price of the training.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="FLOPS", help="Compute budget in FLOPs: report the compute-optimal model size."),
    ] = None,
    days: Annotated[
        str | None,
        typer.Option(help="Compute budget in days on --on DEVICE: report the compute-optimal model size."),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(help="Also report demand over size, tokens, sequence, batch or devices.")
    ] = None,
    points: Annotated[int, typer.Option(help="Number of points in the sweep.")] = 9,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the sweep to this file, as a page with charts.")
    ] = None,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Predict what a large model needs, here and at scale: parameters, FLOPs, memory, time. Nothing runs."""
    given = dict(locals())
    from harness.api.planning import planned
    from harness.plan.options import Options

    options = Options(**{field.name: given[field.name] for field in fields(Options)})
    if not config and (sweep is not None or html is not None):
        raise UsageError("--sweep and --html: need a CONFIG, as they are about one model")
    if html is not None and sweep is None:
        raise UsageError("--html: the page of a sweep; give --sweep too")
    if not config:
        _show_optima(options, results, json=json)
        return
    question, answer = planned(options, results)
    if sweep is None:
        _show_plan(answer, json=json)
    else:
        _show_sweep(answer, _swept(question, sweep, points), html, json=json)


def _swept(question: "Question", over: str, points: int) -> "Sweep":
    from harness.plan.sweep import sweep

    try:
        return sweep(question, over, points)
    except UsageError as error:
        raise UsageError(f"--sweep: {error}") from None


def _show_plan(answer: "Plan", *, json: bool) -> None:
    from harness.report.plan import show_plan
    from harness.report.terminal import screen

    if json:
        print_json(answer)
    else:
        show_plan(answer, screen())


def _show_sweep(answer: "Plan", curves: "Sweep", html: Path | None, *, json: bool) -> None:
    from harness.report.sweep import page
    from harness.report.terminal import screen, show_page

    if html is not None:
        _write_page(answer, curves, html)
    if json:
        print_json({"plan": answer, "sweep": curves})
    else:
        show_page(page(curves, answer), screen())


def _write_page(answer: "Plan", curves: "Sweep", path: Path) -> None:
    from harness.report.publish import drawing
    from harness.report.sweep import page
    from harness.store import write_whole

    with drawing():
        from harness.report.charts.sweep import charts
        from harness.report.html import html

    if not path.parent.is_dir():
        raise UsageError(f"--html {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"--html {path}: a folder; name a file in it")
    write_whole(path, html(page(curves, answer), {"curves": charts(curves)}).encode())
    sys.stderr.write(f"wrote {path}\n")


def _show_optima(options: "Options", results: Path, *, json: bool) -> None:
    from harness.api.planning import run_named
    from harness.plan.options import optima
    from harness.report.plan import budget_json, show_budget
    from harness.report.terminal import screen

    run = run_named(options.on, results)
    best = optima(options, None if run is None else _best_rate(run))
    if json:
        print_json(budget_json(best))
    else:
        show_budget(best, screen())


def _best_rate(run: "Run") -> float:
    """The best FLOP/s of the training steps of a run."""
    rates = [
        result.flops_per_second
        for result in run.measured
        if result.case.family == "train" and result.flops_per_second
    ]
    if not rates:
        raise UsageError(f"run {run.header.id} measured no training step: `plumbline bench train_step` does")
    return max(rates)
