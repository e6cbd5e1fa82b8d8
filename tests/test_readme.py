"""What the README shows must work, and its figures must be those of the runs that it quotes."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import store
from tests.conftest import decoded
from tests.simulated import Simulated

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "pages" / "how-to" / "write-a-suite.md").read_text(encoding="utf-8")
REFERENCE = ROOT / "results" / "reference"

Plumbline = Callable[..., tuple[int, str, str]]


def example(name: str, page: str = README) -> str:
    """The example in Python that has a name in it."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return next(block for block in blocks if name in block)


def shell() -> list[list[str]]:
    """The commands of `plumbline` in shell blocks, split into words."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("plumbline ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def shape(text: str) -> str:
    """A text with its numbers and units left out."""
    return re.sub(
        r"\s+", " ", re.sub(r"[\d.,]+ ?([kMGT]?(FLOP/s|FLOP|B/s|iB|B)|[nµm]?s\b)?", "#", text)
    ).strip()


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_predicted_model_is_as_shown(plumbline: Plumbline, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(example("def classifier"))

    status, output, _ = plumbline("predict", "mine:classifier", "--device", "cpu")

    assert status == 0
    shown = re.search(r"^training step.*$", README, re.MULTILINE)
    assert shown is not None
    assert shown[0] in output


@pytest.mark.parametrize(
    ("name", "page", "cases"), [("Relu", README, 2), ("RowSum", GUIDE, 7)], ids=["README", "guide"]
)
def test_the_suite_is_collected(
    machine: Simulated, plumbline: Plumbline, tmp_path: Path, name: str, page: str, cases: int
) -> None:
    (tmp_path / "mine.py").write_text(example(name, page))

    status, output, _ = plumbline("list", "mine.py", "--json")

    assert status == 0
    assert len(decoded(output)) == cases


def test_the_commands_are_those_of_the_command_line(plumbline: Plumbline) -> None:
    commands = {words[0] for words in shell()}

    assert commands >= {"time", "bench", "predict", "plan", "gate", "ab", "history"}
    for command in commands:
        status, output, _ = plumbline(command, "--help")
        assert status == 0
        options = {
            word for words in shell() if words[0] == command for word in words if word.startswith("--")
        }
        assert all(option in output for option in options), (command, options)


def test_the_estimated_times_are_those_of_the_reference_run() -> None:
    run = store.read(REFERENCE / "epyc-2-cores-cpu")
    for validation, what in zip(
        sorted(run.header.validations, key=lambda validation: validation.suite, reverse=True),
        ("training step time", "inference time"),
        strict=True,
    ):
        model = next(way for way in validation.ways if way.way == "cost model")
        inside = sum(case.inside for case in validation.cases) / len(validation.cases)
        row = next(line for line in README.splitlines() if line.startswith(f"| {what}"))
        assert (
            f"mean error {model.mape:.0%}, bias {model.bias:.0%}; {inside:.0%} of {len(validation.cases)}"
            in row
        )


def test_the_memory_is_that_of_the_reference_run() -> None:
    run = store.read(REFERENCE / "epyc-2-cores-cpu")
    errors = [
        abs(result.measurement.peak_memory_bytes / result.case.cost.memory_bytes - 1.0)
        for result in run.measured
        if result.case.suite == "train_step" and result.measurement and result.case.cost
        if result.measurement.peak_memory_bytes
    ]

    assert f"within {max(errors):.1%} for {len(errors)} of {len(errors)} steps" in README


def test_the_gate_is_as_good_as_measured() -> None:
    rates = json.loads((REFERENCE / "benchmarks" / "gate.json").read_text())["rates"]
    settings = [rules for name, rules in rates.items() if name != "synthetic"]
    gates = [cells for rules in settings for rule, cells in rules.items() if "10 more" in rule]
    peers = [
        cells
        for rules in settings
        for rule, cells in rules.items()
        if re.fullmatch(r"pytest-benchmark \w+ 5 ?%", rule)
    ]

    assert len(settings) == 4
    assert f"{max(cells[0] for cells in gates):.0%} false alarms in four settings" in README
    assert f"detected in {min(cells[2] for cells in gates):.0%} of trials" in README
    alarms = [cells[0] for cells in peers]
    assert f"(pytest-benchmark at 5%: {min(alarms):.0%} to {max(alarms):.0%})" in README
    assert {f"{cells[1]:.0%}" for cells in peers} == {"50%"}


def test_every_file_that_it_links_exists() -> None:
    links = [target for target in re.findall(r"\]\(([^)#]+)", README) if "://" not in target]

    assert links
    assert [target for target in links if not (ROOT / target).exists()] == []
