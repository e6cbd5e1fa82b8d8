"""`plumbline plan`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Json, Results, app, print_json


@app.command()
def plan(
    config: Annotated[
        str,
        typer.Argument(
            metavar="[CONFIG]",
            help="A config.json (file or folder), or a published model by name; without one: --budget or --days.",
            show_default=False,
        ),
    ] = "",
    *,
    tokens: Annotated[
        str | None, typer.Option(help="Of the whole training: 1.4T, 300B (default: 20 a parameter).")
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples of a step, over all replicas.")] = 1,
    sequence: Annotated[
        int | None, typer.Option("--seq", help="Tokens of a sample (default: the model's own).")
    ] = None,
    target: Annotated[
        int | None, typer.Option("--target-seq", help="A decoder's, beside an encoder.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of products: float32, tf32, bfloat16 or float16.")] = "bfloat16",
    states: Annotated[
        str | None, typer.Option(help="Of 16 bits: mixed (default), megatron, autocast, bfloat16 or float16.")
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, lion, adam, adamw or adam8bit.")] = "adamw",
    dropout: Annotated[
        bool, typer.Option("--dropout", help="Keep masks of dropout, as the published formula does.")
    ] = False,
    recompute: Annotated[str, typer.Option(help="none, selective (attention's core) or full.")] = "none",
    flash: Annotated[
        bool, typer.Option("--flash", help="Attention's probabilities are never stored.")
    ] = False,
    devices: Annotated[int | None, typer.Option(help="All of them.")] = None,
    tensor: Annotated[int, typer.Option(help="Devices that share each matrix.")] = 1,
    sequence_parallel: Annotated[
        bool, typer.Option("--sequence-parallel", help="They share norms and dropouts too.")
    ] = False,
    pipeline: Annotated[int, typer.Option(help="Stages.")] = 1,
    interleave: Annotated[int, typer.Option(help="Chunks of layers on each stage.")] = 1,
    data: Annotated[int | None, typer.Option(help="Replicas.")] = None,
    zero: Annotated[int, typer.Option(help="0, 1, 2 or 3: what replicas share out.")] = 0,
    microbatch: Annotated[int | None, typer.Option(help="Samples a replica takes at once.")] = None,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="RUN | DEVICE", help="Where: a calibrated run (latest, id, path), or a device by name."
        ),
    ] = None,
    mfu: Annotated[str | None, typer.Option(help="Of a device's dense peak: 0.4 or 40%.")] = None,
    memory: Annotated[str | None, typer.Option(help="Bytes of a device: 80Gi.")] = None,
    link: Annotated[str | None, typer.Option(metavar="SECONDS,BYTES/S", help="As in 5e-6,450e9.")] = None,
    watts: Annotated[str | None, typer.Option(help="Of a device, for the energy.")] = None,
    price: Annotated[str | None, typer.Option(help="Of a device: 2.5/h.")] = None,
    budget: Annotated[str | None, typer.Option(metavar="FLOPS", help="What it trains best.")] = None,
    days: Annotated[str | None, typer.Option(help="The same for so many days on --on DEVICE.")] = None,
    sweep: Annotated[
        str | None, typer.Option(help="Demand over size, tokens, sequence, batch or devices.")
    ] = None,
    points: Annotated[int, typer.Option(help="Of the sweep.")] = 9,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The sweep as a page with charts.")
    ] = None,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Say what a large model needs, here and at scale: parameters, FLOPs, memory, time. Nothing runs."""
    from harness.cli.planning import Wish, answer
    from harness.plan.options import Options

    options = Options(
        config=config,
        tokens=tokens,
        batch=batch,
        sequence=sequence,
        target=target,
        dtype=dtype,
        states=states,
        optimizer=optimizer,
        dropout=dropout,
        recompute=recompute,
        flash=flash,
        devices=devices,
        tensor=tensor,
        sequence_parallel=sequence_parallel,
        pipeline=pipeline,
        interleave=interleave,
        data=data,
        zero=zero,
        microbatch=microbatch,
        on=on,
        mfu=mfu,
        memory=memory,
        link=link,
        watts=watts,
        price=price,
    )
    wish = Wish(options, budget, days, over=sweep, points=points, html=html, results=results, json=json)
    found = answer(wish)
    if json:
        print_json(found)
