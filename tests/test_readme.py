"""What the README shows must work."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.conftest import decoded
from tests.simulated import Simulated

README = Path(__file__).resolve().parent.parent / "README.md"


def example(name: str) -> str:
    """The example that has a name in it."""
    found: list[str] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return next(text for text in found if name in text)


def test_the_model_of_ones_own_is_predicted_as_shown(
    plumbline: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(example("def classifier"))

    status, output, _ = plumbline("predict", "mine:classifier", "--device", "cpu")

    assert status == 0
    shown = re.search(r"^training step.*$", README.read_text(), re.MULTILINE)
    assert shown is not None
    assert shown[0] in output


def test_the_example_is_a_suite_that_runs(
    machine: Simulated, plumbline: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "rowsum.py").write_text(example("RowSum"))

    status, output, _ = plumbline("list", "rowsum.py", "--json")

    assert status == 0
    cases = decoded(output)
    assert len(cases) == 7
    assert cases[0]["id"] == "rowsum-float32-rows64-columns1024"
    assert cases[0]["cost"]["bytes_read"] == 4 * 64 * 1024


def test_the_exit_statuses_and_commands_are_those_of_the_command(
    plumbline: Callable[..., tuple[int, str, str]],
) -> None:
    text = README.read_text()
    for command in ("bench", "predict", "selftest", "report", "check", "fit", "list", "env"):
        assert f"plumbline {command}" in text
        assert plumbline(command, "--help")[0] == 0
