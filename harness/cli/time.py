"""`plumbline time`: expressions from a shell, measured at once."""

import ast
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from types import CodeType, FunctionType
from typing import Annotated, Any

import typer

from harness.cli.app import Json, app, print_json
from harness.errors import PlumblineError, UsageError, one_line


@app.command("time")
def time_expressions(
    expressions: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPRESSION...",
            help="Python to time, such as 'a @ b'; several are compared with the first, interleaved. torch, np and F are there.",
            show_default=False,
        ),
    ],
    *,
    setup: Annotated[
        list[str] | None,
        typer.Option(
            "--setup",
            "-s",
            metavar="CODE",
            help="Python that runs once before, such as 'a = torch.randn(512, 512)'. May be given several times.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds to sample, all expressions together.")
    ] = 1.0,
    processes: Annotated[
        int,
        typer.Option(
            help="Fresh processes that measure; with 1, the interval does not contain what processes differ by."
        ),
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of torch (default: those it chooses).",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda or cuda:N (default: that of the tensors).", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Time a Python expression, or compare several: median, interval, FLOP/s, memory."""
    with redirect_stdout(sys.stderr):  # what the expressions print is no part of the answer
        found = timed(expressions, "\n".join(setup or ()), seconds, processes, threads, device)
    if json:
        print_json([one.as_dict() for one in found])
    else:
        for one in found:
            typer.echo(repr(one))


def timed(
    expressions: Sequence[str],
    setup: str = "",
    seconds: float = 1.0,
    processes: int = 1,
    threads: int | None = None,
    device: str | None = None,
) -> list[Any]:
    """A `Timing` of one expression; of several, a `Contrast` of each after the first with the first.

    `torch`, `F` (torch.nn.functional) and `np`, where it is installed, are there.

    Raises:
        UsageError: an expression or the setup cannot be compiled, or raises; an option is not allowed.
        NothingMeasuredError: an expression failed after its first call.
    """
    codes = [_compiled(expression, f"expression {expression!r}") for expression in expressions]
    prepared = _code(setup, "--setup")
    from harness.measure.openmp import bound_spinning

    bound_spinning()  # before torch is loaded
    namespace = _namespace()
    if threads is not None and threads >= 1:
        namespace["torch"].set_num_threads(threads)
    _run(lambda: exec(prepared, namespace), "--setup", setup)  # noqa: S102 - what the user typed
    functions = [FunctionType(code, namespace, "call") for code in codes]
    for expression, function in zip(expressions, functions, strict=True):
        _run(function, f"expression {expression!r}", setup)
    from harness.api.comparing import interleaved
    from harness.api.timing import timed as measured
    from harness.compare.decision import PRACTICAL_THRESHOLD

    if len(functions) == 1:
        return [measured((expressions[0], functions[0], (), {}), seconds, processes, threads, device)]
    named: list[tuple[str, Any, tuple[Any, ...], dict[str, Any]]] = [
        (expression, function, (), {}) for expression, function in zip(expressions, functions, strict=True)
    ]
    return list(interleaved(named, seconds, processes, threads, device, PRACTICAL_THRESHOLD))


def _namespace() -> dict[str, Any]:
    """What expressions and the setup see; functions in it travel by value, as those of a script do."""
    import torch
    from torch.nn import functional

    found: dict[str, Any] = {"__name__": "__main__", "torch": torch, "F": functional}
    try:
        import numpy as np

        found["np"] = np
    except ImportError:
        pass
    return found


def _compiled(expression: str, what: str) -> CodeType:
    """The code of a function that runs an expression, or statements, and returns the last value.

    >>> FunctionType(_compiled("x = 2; x + 1", "expression"), {})()
    3
    """
    body = _parsed(expression, what).body
    if not body:
        raise UsageError(f"{what}: empty; write Python such as 'a @ b'")
    last = body[-1]
    if isinstance(last, ast.Expr):
        body[-1] = ast.copy_location(ast.Return(last.value), last)
    module = ast.parse("def call(): pass")
    function = module.body[0]
    if isinstance(function, ast.FunctionDef):
        function.body = body
    try:
        made = compile(ast.fix_missing_locations(module), "<expression>", "exec")
    except SyntaxError as error:
        raise UsageError(f"{what}: {error.msg}") from None
    return next(constant for constant in made.co_consts if isinstance(constant, CodeType))


def _code(text: str, what: str) -> CodeType:
    return compile(_parsed(text, what), "<setup>", "exec")


def _parsed(text: str, what: str) -> ast.Module:
    try:
        return ast.parse(text.strip())
    except (SyntaxError, ValueError) as error:
        where = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UsageError(f"{what}: {message}{where}") from None


def _run(function: Callable[[], Any], what: str, setup: str) -> None:
    try:
        function()
    except (PlumblineError, KeyboardInterrupt):
        raise
    except NameError as error:
        hint = "" if setup and what == "--setup" else "; define it with --setup"
        raise UsageError(f"{what}: {one_line(error)}{hint}") from error
    except BaseException as error:
        raise UsageError(f"{what}: {one_line(error)}") from error
