"""The command line: parses, calls, prints. No logic.

Exit status: 0 fine; 1 a claim fails; 2 bad usage or input, one line on standard error; 3 a case
failed or nothing was measured; 130 interrupted, with everything finished kept.

Imports stand inside the commands: `plumbline --help` and `plumbline report` must not load torch.
"""

import io
import os
import sys
import traceback
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import PlumblineError, StorageError, UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure what this machine really does on deep-learning work, and check it against theory.",
)
# Typer's own root of "the user typed something wrong"; it moved between versions of Typer.
_CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]


class Profile(StrEnum):
    """How many sizes, and how long each is measured."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


class Place(StrEnum):
    """Where Markdown is read."""

    SUMMARY = "summary"
    COMMENT = "comment"


Suites = Annotated[
    list[str] | None,
    typer.Argument(
        help="Bundled suites by name, or your own by path (default: all bundled).", show_default=False
    ),
]
Expression = Annotated[
    str, typer.Option("-k", metavar="EXPR", help="Only cases that match, as in pytest -k.")
]
ProfileOption = Annotated[Profile, typer.Option(help="How many sizes, and how long each is measured.")]
Results = Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept.")]
RunArgument = Annotated[str, typer.Argument(metavar="[RUN]", help="A path, an id, or latest.")]
Json = Annotated[bool, typer.Option("--json", help="Valid JSON alone on standard output.")]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION", help="A function that returns a model and its inputs; or FILE.py:FUNCTION."
    ),
]
RESULTS = Path("results")


@app.command()
def bench(
    suite: Suites = None,
    *,
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads (default: the physical cores this process may use).")
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            max=1e5,
            help="A case that takes longer has failed (default: 60 in quick).",
        ),
    ] = None,
    results: Results = RESULTS,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:FUNCTION", help="A model of your own; alone, unless suites are named."),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="NAME", help="What reports call this machine; its own name is never kept.")
    ] = "",
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run; takes its settings from it.")
    ] = None,
) -> None:
    """Measure, record, fit, check and report."""
    from harness.bench import Request, run

    request = Request(
        suites=tuple(suite or ()),
        expression=expression,
        profile=profile.value,
        device=device,
        threads=threads,
        limit=limit,
        results=results,
        models=tuple(model or ()),
        label=label,
    )
    raise typer.Exit(run(request, resume))


@app.command()
def calibrate(
    *,
    profile: ProfileOption = Profile.QUICK,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads (default: the physical cores this process may use).")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Calibrate the cost model that says how long a model takes here: about two minutes (quick)."""
    from harness.bench import Request, run

    request = Request(
        suites=("calibration",), profile=profile.value, device=device, threads=threads, results=results
    )
    raise typer.Exit(run(request))


@app.command()
def report(
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Paths, ids, latest (default), or the report.json of an earlier report; several are set side by side.",
            show_default=False,
        ),
    ] = None,
    *,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="One self-contained page.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Markdown, cut to fit.")] = None,
    place: Annotated[
        Place | None,
        typer.Option("--for", help="Where the Markdown has to fit: a job summary (default) or a comment."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="[FILE.json]", help="All of it as JSON; alone, on standard output."),
    ] = None,
    browse: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    results: Results = RESULTS,
) -> None:
    """Show runs again, complete or not: in the terminal, or as files (- is standard output)."""
    from harness.report.publish import Wanted, publish
    from harness.report.sources import opened

    sources = opened(references or ["latest"], results)
    wanted = Wanted(html=html, markdown=markdown, place=place and place.value, json=json, browse=browse)
    publish(sources, wanted, results)


@app.command()
def check(reference: RunArgument = "latest", *, results: Results = RESULTS, json: Json = False) -> None:
    """Judge a run's claims anew; exit status 1 when one fails."""
    from harness import store
    from harness.check.judge import exit_status, judge
    from harness.report.terminal import screen, show_claims

    run = judge(store.load(store.find(reference, results)))
    if json:
        _print_json({"run": run.header.id, "complete": run.complete, "verdicts": run.header.verdicts})
    else:
        show_claims(run, screen())
    raise typer.Exit(exit_status(run))


@app.command()
def fit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="[RUN | FILE.csv]",
            help="A run by path, id, or latest; or a table with columns seconds and flops, bytes or both (or size, or threads), and group.",
        ),
    ] = "latest",
    *,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Fit scaling laws to a run's sweeps, or to a table of your own; rows without seconds are predicted."""
    from harness import store
    from harness.fit.groups import of_run
    from harness.fit.table import fit_table, is_table
    from harness.report.groups import as_json, show_fits
    from harness.report.terminal import screen

    found = fit_table(Path(source)) if is_table(source) else of_run(store.load(store.find(source, results)))
    if json:
        _print_json(as_json(found))
    else:
        show_fits(found, screen())


@app.command()
def predict(
    model: ModelArgument,
    *,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, adam or adamw.")] = "adamw",
    dtype: Annotated[str, typer.Option(help="float32, or bfloat16 (by autocast in training).")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Say what your own model needs, without running it: FLOPs, bytes, memory, time at least."""
    from harness.forecast import forecast
    from harness.report.forecast import as_json, show_forecast
    from harness.report.terminal import screen

    with redirect_stdout(sys.stderr):  # what the model's code prints is no part of the answer
        found = forecast(model, device=device, optimizer=optimizer, dtype=dtype, results=results)
    if json:
        _print_json(as_json(found))
    else:
        show_forecast(found, screen())


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
    from harness.plan.ask import Options
    from harness.planning import Wish, answer

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
        _print_json(found)


@app.command("list")
def list_workloads(
    suite: Suites = None,
    *,
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Also trace those that do not say their cost (a second or two each)."),
    ] = False,
    json: Json = False,
) -> None:
    """List workloads with their predicted costs."""
    from harness.bench import Request, collect
    from harness.report.catalogue import show_catalogue
    from harness.report.terminal import screen

    request = Request(suites=tuple(suite or ()), expression=expression, profile=profile.value)
    cases = collect(request, traced=trace)
    if json:
        _print_json(cases)
    else:
        show_catalogue(cases, screen())


@app.command()
def selftest(
    *,
    pairs: Annotated[int, typer.Option(help="Pairs of processes; a comparison is of 5.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads (default: the physical cores this process may use).")
    ] = None,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Test the harness on this machine, now: false alarms, power, coverage, the timer; exit status 1 if it fails."""
    from harness.check.trust import check_trust
    from harness.records import Answer
    from harness.report.noise import show_profile, summarized
    from harness.report.terminal import screen
    from harness.selftest import run_selftest

    # Progress goes where it disturbs no JSON.
    profile, path = run_selftest(
        device, threads, pairs, results, lambda text: typer.echo(text, file=sys.stderr)
    )
    verdicts = tuple(check_trust(profile))
    if json:
        kinds = [summarized(kind) for kind in profile.kinds]
        _print_json({"kinds": kinds, "verdicts": verdicts, "profile": profile})
    else:
        show_profile(profile, verdicts, screen())
        typer.echo(f"noise profile: {path}")
    raise typer.Exit(int(any(verdict.answer is Answer.FAILS for verdict in verdicts)))


@app.command()
def env(*, json: Json = False) -> None:
    """Print what this machine is, as every run records it."""
    from harness.measure.environment import capture
    from harness.report.facts import show_facts
    from harness.report.terminal import screen

    environment = capture()
    if json:
        _print_json(environment)
    else:
        show_facts(environment, screen())


def _print_json(value: Any) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value).decode(), indent=2) + "\n")


def main() -> None:
    """The `plumbline` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no µ gets a question mark
    try:
        status = app(_completed(sys.argv[1:]), standalone_mode=False)
        sys.stdout.flush()
    except _CommandLineError as error:
        status = _say(UsageError(_format(error)))
    except PlumblineError as error:
        status = _say(error)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except BrokenPipeError:
        # The reader has seen enough; nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except OSError as error:
        status = _say(StorageError(f"{error.filename or 'standard output'}: {error.strerror}"))
    except Exception:  # noqa: BLE001 - a fault of our own; 1 is kept for a claim that fails
        traceback.print_exc()
        status = StorageError.exit_status
    sys.exit(status)


def _completed(arguments: list[str]) -> list[str]:
    """The arguments, with standard output named where `report --json` names no file: Typer knows no option that may have a value.

    >>> _completed(["report", "latest", "--json"]), _completed(["report", "--json", "x.json", "latest"])
    (['report', 'latest', '--json', '-'], ['report', '--json', 'x.json', 'latest'])
    """
    if arguments[:1] != ["report"] or "--json" not in arguments:
        return arguments
    after = arguments.index("--json") + 1
    named = after < len(arguments) and (arguments[after] == "-" or arguments[after].endswith(".json"))
    return arguments if named else [*arguments[:after], "-", *arguments[after:]]


def _format(error: Exception) -> str:
    """Typer's words, with the name of the option they are about."""
    formatted = getattr(error, "format_message", None)
    return formatted() if formatted else str(error)


def _say(error: PlumblineError) -> int:
    sys.stderr.write(f"plumbline: {' '.join(str(error).split())}\n")
    return error.exit_status


if __name__ == "__main__":
    main()
