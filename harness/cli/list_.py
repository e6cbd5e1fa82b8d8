"""`plumbline list`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import (
    Expression,
    Json,
    Profile,
    ProfileOption,
    Suites,
    app,
    print_json,
)

if TYPE_CHECKING:
    from harness.records import Case

# Suites among more modules than these are read every time.
_MOST_MODULES = 300


@app.command("list")
def list_workloads(
    suite: Suites = None,
    *,
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Also trace those that declare no cost (a second or two each)."),
    ] = False,
    json: Json = False,
) -> None:
    """List workloads with their predicted costs."""
    from harness.report.listing import show_catalogue
    from harness.report.terminal import screen

    cases = _cases(tuple(suite or ()), expression, profile.value, traced=trace)
    if json:
        print_json(cases)
    else:
        show_catalogue(cases, screen())


def _cases(names: tuple[str, ...], expression: str, profile: str, *, traced: bool) -> "tuple[Case, ...]":
    """The cases, from the cache where nothing that they depend on has changed."""
    import msgspec

    from harness import cache
    from harness.records import Case

    def collected() -> tuple[Case, ...]:
        from harness.pytest_plugin.collection import Request, collect

        return collect(Request(suites=names, expression=expression, profile=profile), traced=traced)

    modules = _modules(names)
    if modules is None:
        return collected()
    key = (*names, expression, profile, str(traced), cache.of_files(modules), *cache.of_machine())
    content = cache.cached("list", key, lambda: msgspec.json.encode(collected()))
    return msgspec.json.decode(content, type=tuple[Case, ...])


def _modules(names: Sequence[str]) -> list[Path] | None:
    """The modules that suites may consist of: all in their folders, and in the current one for a user's own; None where these are too many."""
    from harness.loading import BUNDLED_SUITES, root_of

    own = [
        Path(name).expanduser().resolve() for name in names if not (BUNDLED_SUITES / f"{name}.py").is_file()
    ]
    if not all(path.is_file() for path in own):
        return None
    modules = set(BUNDLED_SUITES.glob("*.py"))
    for path in own:
        for module in root_of(path).rglob("*.py"):
            modules.add(module)
            if len(modules) > _MOST_MODULES:
                return None
    if own:
        modules.update(Path.cwd().glob("*.py"))
    return sorted(modules) if len(modules) <= _MOST_MODULES else None
