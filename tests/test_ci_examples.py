"""The examples for CI: valid YAML, and every command in them one that this version takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from harness.cli.app import app

EXAMPLES = sorted((Path(__file__).parent.parent / "docs" / "ci").glob("*.yml"))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def scripts(value: Any) -> Iterator[str]:
    """What is run, wherever it stands."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name in {"run", "script"}:
                yield from part if isinstance(part, list) else part.splitlines()
            else:
                yield from scripts(part)
    elif isinstance(value, list):
        for part in value:
            yield from scripts(part)


def commands(path: Path) -> list[list[str]]:
    lines = [line for script in scripts(yaml.safe_load(path.read_text())) for line in script.splitlines()]
    found = [re.search(r"(?:^|/)plumbline (.*)$", line.strip()) for line in lines]
    return [shlex.split(one[1]) for one in found if one]


def test_there_are_examples_for_github_and_gitlab() -> None:
    assert [path.name for path in EXAMPLES] == ["github.yml", "gitlab.yml"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_commands_of_an_example_are_ours(path: Path) -> None:
    used = commands(path)
    assert {"gate", "bench", "compact", "history"} == {name for name, *_ in used}
    for name, *arguments in used:
        command = COMMANDS[name]
        command.make_context(name, arguments, resilient_parsing=False)


def test_the_jobs_of_a_gpu_box_never_run_at_once() -> None:
    jobs = yaml.safe_load(EXAMPLES[0].read_text())["jobs"]
    on_box = [job for job in jobs.values() if job["runs-on"] == ["self-hosted", "gpu"]]
    assert len(on_box) == 2
    assert {job["concurrency"]["group"] for job in on_box} == {"gpu-box"}
