"""What each side would measure: its suites are collected by its own interpreter from its own checkout, in a process that measures nothing."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import msgspec

from harness.ab.sides import Placed
from harness.errors import NothingMeasuredError, PlumblineError, UsageError
from harness.records import Case


class Found(msgspec.Struct, frozen=True):
    """A workload as it travels, and the case it is."""

    case: Case
    pickled: bytes
    module: str
    path: str | None


class Question(msgspec.Struct, frozen=True):
    """What to collect: the files of suites, or models of one's own, as in a bench."""

    suites: tuple[str, ...]
    models: tuple[str, ...]
    expression: str
    profile: str


def collect_on(side: Placed, question: Question) -> dict[str, Found]:
    """The workloads of a side by id, with their costs; empty where it has none of them.

    Raises:
        UsageError: a suite or a model does not load there.
        NothingMeasuredError: the process ended without a word.
    """
    there = [side.place(Path(suite)) for suite in question.suites]
    suites = tuple(str(path) for path in there if path.is_file())
    if not suites and not question.models:
        return {}
    models = tuple(_placed(side, model) for model in question.models)
    asked = msgspec.json.encode(msgspec.structs.replace(question, suites=suites, models=models)).decode()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "found"
        done = subprocess.run(
            side.launch.command("harness.ab.collector"),
            input=json.dumps([asked, str(answer)]),
            capture_output=True,
            text=True,
            check=False,
            cwd=side.launch.directory,
            env=side.launch.environment,
        )
        if not answer.exists():
            said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            error = UsageError if done.returncode == UsageError.exit_status else NothingMeasuredError
            raise error(f"{side.name}: {said}")
        found = msgspec.msgpack.decode(answer.read_bytes(), type=list[Found])
    return {one.case.id: one for one in found}


def _placed(side: Placed, model: str) -> str:
    """A model of that side; one named by its module, or by a file from here on, is found there without help."""
    file, colon, function = model.rpartition(":")
    return f"{side.place(Path(file))}{colon}{function}" if Path(file).is_absolute() else model


def main() -> None:
    """Reads a question, and where to put the answer, from standard input."""
    asked, answer = json.loads(sys.stdin.read())
    try:
        with redirect_stdout(sys.stderr):
            found = _collected(msgspec.json.decode(asked.encode(), type=Question))
    except PlumblineError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        sys.exit(error.exit_status)
    Path(answer).write_bytes(msgspec.msgpack.encode(found))


def _collected(question: Question) -> Sequence[Found]:
    from harness.measure.pickling import pack_workload  # noqa: PLC0415
    from harness.pytest_plugin.collection import Request, collected, foreseen  # noqa: PLC0415 - the other half of this module needs no pytest

    request = Request(
        suites=question.suites,
        models=question.models,
        expression=question.expression,
        profile=question.profile,
    )
    found = []
    for workload, suite in collected(request, or_none=True):
        case = foreseen(workload, workload.describe(suite))
        found.append(Found(case, *pack_workload(workload)))
    return found
