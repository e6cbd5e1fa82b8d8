"""Adds the pages that are generated: the command line, and the notebook of the tutorial.

mkdocs calls `on_files` before it reads the pages (`hooks` in mkdocs.yml).
"""

import json
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.structure.files import File, Files

from harness.cli import app

NOTEBOOK = Path(__file__).parent / "notebooks" / "quickstart.ipynb"


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages to those on disk."""
    for path, content in (("reference/cli.md", command_line()), ("tutorials/python.md", notebook())):
        files.append(File.generated(config, path, content=content))
    return files


def command_line() -> str:
    """Every command with its arguments and options, as `--help` lists them."""
    root = typer.main.get_command(app)
    parts = ["# Command line\n\nGenerated from the commands themselves.\n"]
    for name, command in sorted(root.commands.items()):  # type: ignore[attr-defined]
        parts.append(f"\n## plumbline {name}\n\n{command.help}\n\n| option | meaning |\n|---|---|\n")
        for parameter in command.params:
            if getattr(parameter, "hidden", False):
                continue
            words = ", ".join(f"`{word}`" for word in parameter.opts) or f"`{parameter.name}`"
            if parameter.param_type_name == "argument":
                words = f"`{parameter.metavar or parameter.name.upper()}`"
            text = " ".join((getattr(parameter, "help", None) or "").split()).replace("|", "\\|")
            parts.append(f"| {words} | {text} |\n")
    return "".join(parts)


def notebook() -> str:
    """The cells of the notebook as a page; a test runs the same cells."""
    parts = []
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts) + "\n"
