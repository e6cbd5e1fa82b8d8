"""Plain English: words that the glossary of this project replaces stay out of what a user reads, and out of names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The word that must not occur, and what to write.
REPLACED = {
    r"foretold|told beforehand": "predicted, or estimated (a time)",
    r"typical(ly)?": "median (of process medians), or usually",
    r"ceilings?": "measured peak, measured bandwidth, roof (of a roofline)",
    r"rungs?|ladders?": "level, peak hierarchy",
    r"front door": "public API",
    r"conductor|crews?|desks?|chapters?|laps?": "runner, worker pool, worker, batch, round",
    r"levers?": "optimization",
    r"side by side|in turns": "interleaved (measured), or beside each other (shown)",
    r"informs( only)?": "informational (not gated)",
    r"restless|hogs?|spells?": "noisy machine, slow period, background load",
    r"vector FLOPs?": "elementwise FLOPs",
    r"mended|anew|as of|up to the digit": "fixed, again, according to, exactly",
    r"obituar(y|ies)|last words": "exit reason, last output",
    r"(?<!there )(?:is no (?!longer|more)[a-z]+|(?-i:is none|are none))": "is not a valid X; there is no X",
    r"is told( of)?|are told( of)?|told|tells|was said|is said": "reported, reports, predicted",
    r"stopwatch": "timer",
}
NAMES = re.compile(
    r"(^|_)(told|said|foretold|rungs?|ladders?|levers?|conductor|crews?|desks?|chapters?|stopwatch)(_|$)"
)
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs" / "pages").rglob("*.md")),
]
MODULES = [path for folder in ("harness", "suites") for path in sorted((ROOT / folder).rglob("*.py"))]


def _violations(text: str) -> Iterator[str]:
    for pattern, instead in REPLACED.items():
        for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", text, re.IGNORECASE):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{line}: {match[0]!r}: write {instead}"


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string of a module with its line: messages, help texts, docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case _:
                pass


def _prose(page: str) -> str:
    """A page without its code and its links' targets, on the same lines."""
    fenced = re.sub(r"```.*?```", lambda match: "\n" * match[0].count("\n"), page, flags=re.DOTALL)
    return re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", fenced)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_use_the_words_of_the_glossary(path: Path) -> None:
    assert list(_violations(_prose(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_use_the_words_of_the_glossary(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [f"{line}: {violation}" for line, text in _texts(tree) for violation in _violations(text)]
    found += [f"{line}: the name {name!r}" for line, name in _names(tree) if NAMES.search(name)]

    assert found == []


def test_the_check_can_fail() -> None:
    assert list(_violations("It was foretold.\nThe ladder, side by side.")) != []
    assert NAMES.search("told") is not None
    assert NAMES.search("_not_told") is not None
    assert NAMES.search("retold") is None
