"""What the README shows must work."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.conftest import decoded
from tests.simulated import Simulated

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_example_is_a_suite_that_runs(
    machine: Simulated, plumbline: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    example = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "rowsum.py").write_text(example[1])

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
    for command in ("bench", "selftest", "report", "check", "list", "env"):
        assert f"plumbline {command}" in text
        assert plumbline(command, "--help")[0] == 0
