"""The command line: parses, calls, prints.

Exit status: 0 success; 1 a check fails; 2 bad usage or input, one line on standard error; 3 a case
failed or nothing was measured; 130 interrupted, with all finished cases on record.

Imports stand inside the commands: `plumbline --help` and `plumbline report` must not load torch.
"""

import importlib
import io
import os
import sys
import traceback

import typer

from harness.cli.app import app
from harness.errors import PlumblineError, StorageError, UsageError

__all__ = ["app", "main"]

# One module a command, in the order of the help.
_COMMANDS = "bench time calibrate selftest list_ env predict plan ab gate compare report check fit history compact export import_"
for _command in _COMMANDS.split():
    importlib.import_module(f"harness.cli.{_command}")

# Typer's own root of "the user typed something wrong"; it moved between versions of Typer.
_CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]


def main() -> None:
    """The `plumbline` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without µ gets a question mark
    try:
        status = app(_completed(sys.argv[1:]), standalone_mode=False)
        sys.stdout.flush()
    except _CommandLineError as error:
        status = _report(UsageError(_format(error)))
    except PlumblineError as error:
        status = _report(error)
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except BrokenPipeError:
        _flush()  # the reader closed the pipe
        status = 0
    except OSError as error:
        _flush()
        status = _report(StorageError(f"{error.filename or 'standard output'}: {error.strerror}"))
    except Exception:  # noqa: BLE001 - a fault of our own; 1 is reserved for a check that fails
        traceback.print_exc()
        status = StorageError.exit_status
    sys.exit(status)


# Commands whose `--json` takes a file, or none.
_MAY_NAME_A_FILE = {"ab", "compare", "gate", "report"}


def _completed(arguments: list[str]) -> list[str]:
    """The arguments, with `-` after a `--json` without a file: Typer has no option with an optional value.

    >>> _completed(["report", "latest", "--json"]), _completed(["report", "--json", "x.json", "latest"])
    (['report', 'latest', '--json', '-'], ['report', '--json', 'x.json', 'latest'])
    """
    if not {*arguments[:1]} & _MAY_NAME_A_FILE or "--json" not in arguments:
        return arguments
    after = arguments.index("--json") + 1
    named = after < len(arguments) and (arguments[after] == "-" or arguments[after].endswith(".json"))
    return arguments if named else [*arguments[:after], "-", *arguments[after:]]


def _flush() -> None:
    """Flushes standard output; where that fails, nothing is tried again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _format(error: Exception) -> str:
    """Typer's message, with the name of the option."""
    formatted = getattr(error, "format_message", None)
    return formatted() if formatted else str(error)


def _report(error: PlumblineError) -> int:
    sys.stderr.write(f"plumbline: {' '.join(str(error).split())}\n")
    return error.exit_status
