"""Writes a report to files or standard output, opens it in a browser, or prints it."""

import contextlib
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.compare.comparison import compare_all
from harness.errors import RecordError, StorageError, UsageError, pip_install
from harness.report import comparison, document, markdown, sections
from harness.report.content import Page
from harness.report.markdown import SUMMARY
from harness.report.outcome import show
from harness.report.sources import Source
from harness.report.terminal import screen, show_page
from harness.store import DOCUMENT, HEADER, PAGE, REPORT, write_whole


def as_page(sources: Sequence[Source]) -> Page:
    """The content of the report of one run, or of several compared with the first."""
    runs = [source.run for source in sources]
    return sections.page(runs[0]) if len(runs) == 1 else comparison.page(runs, compare_all(runs))


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Names the extra that is missing where the imports inside fail.

    Raises:
        UsageError: what draws the charts of a page is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "altair").partition(".")[0]
        raise UsageError(
            f"a page needs {package}: {pip_install('report')}; Markdown and JSON do not need it"
        ) from error


def as_html(sources: Sequence[Source]) -> str:
    """One HTML file.

    Raises:
        UsageError: what draws its charts is not installed.
    """
    with drawing():
        from harness.report.charts import charts, charts_of_several  # noqa: PLC0415 - half a second
        from harness.report.html import html  # noqa: PLC0415
    runs = [source.run for source in sources]
    if len(runs) == 1:
        return html(sections.page(runs[0]), charts(runs[0], sources[0].sensors))
    compared = compare_all(runs)
    return html(comparison.page(runs, compared), charts_of_several(runs, compared))


def as_markdown(sources: Sequence[Source], place: str = markdown.SUMMARY.name) -> str:
    """Markdown that fits into a place: "summary" or "comment"."""
    return markdown.markdown(as_page(sources), markdown.PLACES[place])


def as_json(sources: Sequence[Source]) -> bytes:
    """The document of docs/report.schema.json."""
    return document.encoded(sources)


_STANDARD_OUTPUT, _DEVICES = Path("-"), Path("/dev")


@dataclass(frozen=True)
class Wanted:
    """The requested forms of a report, and the place of each."""

    html: Path | None = None
    markdown: Path | None = None
    place: str | None = None
    json: Path | None = None
    browse: bool = False


def publish(sources: Sequence[Source], wanted: Wanted, results: Path) -> None:
    """Writes the forms that were requested and reports where; prints the report if none was.

    Raises:
        UsageError: two forms for one place, or a missing folder.
        StorageError: a file could not be written.
    """
    page = wanted.html
    if wanted.browse and page in {None, _STANDARD_OUTPUT}:
        page = Path(tempfile.gettempdir()) / f"plumbline-{sources[0].run.header.id}.html"
    made: list[tuple[Path, Callable[[], bytes]]] = [
        (path, lambda: as_html(sources).encode())
        for path in dict.fromkeys((wanted.html, page))
        if path is not None
    ]
    if wanted.markdown is not None:
        made.append((wanted.markdown, lambda: as_markdown(sources, wanted.place or SUMMARY.name).encode()))
    elif wanted.place is not None:
        raise UsageError("--for: the place where Markdown must fit; add --markdown FILE")
    if wanted.json is not None:
        _keep_others(wanted.json, sources, results)
        made.append((wanted.json, lambda: as_json(sources)))
    check_places([path for path, _ in made])
    for path, content in made:
        put(path, content())
    if not made:
        _show(sources, screen())
    if wanted.browse and page is not None and not webbrowser.open(page.resolve().as_uri()):
        sys.stderr.write(f"no browser could be started: open {page}\n")


def _show(sources: Sequence[Source], console: Console) -> None:
    if len(sources) == 1:
        show(sources[0].run, console)
    else:
        show_page(as_page(sources), console)


def check_places(places: Sequence[Path]) -> None:
    """Refuses places where no report can be written, before anything is written.

    Raises:
        UsageError: a folder, a missing folder, one place for two forms, or among the files of a run.
    """
    real = [path if path == _STANDARD_OUTPUT else path.resolve() for path in places]
    for path, place in zip(places, real, strict=True):
        if real.count(place) > 1:
            raise UsageError(f"{path} is named for two forms of the report: name a file for each")
        if path != _STANDARD_OUTPUT and path.is_dir():
            raise UsageError(f"{path} is a folder: name a file")
        if path != _STANDARD_OUTPUT and not path.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.parent}")
        if (place.parent / HEADER).is_file() and place.name not in {PAGE, REPORT, DOCUMENT}:
            raise UsageError(
                f"{path} is inside the folder of a run: name it {PAGE}, {REPORT} or {DOCUMENT}, or put it elsewhere"
            )


def _keep_others(path: Path, sources: Sequence[Source], results: Path) -> None:
    """Refuses to overwrite the report of runs that are not stored here: FILE may have been meant as RUN."""
    known = {source.run.header.id for source in sources}
    with contextlib.suppress(RecordError):
        lost = {source.run.header.id for source in document.read(path)} - known
        lost = {run for run in lost if not (results / run).is_dir()}
        if lost:
            raise UsageError(
                f"{path} holds the report of runs that are not in {results} ({', '.join(sorted(lost))}): to show it, name it before --json; else choose another file"
            )


def put(path: Path, content: bytes) -> None:
    """Writes a form of a report: `-` is standard output.

    Raises:
        StorageError: it cannot be written.
    """
    if path == _STANDARD_OUTPUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)  # the forms are UTF-8, whatever the terminal is
        return
    if path.exists() and (not path.is_file() or _DEVICES in path.absolute().parents):
        _write_into(path, content)
    else:
        write_whole(path, content)
    sys.stderr.write(f"wrote {path}\n")


def _write_into(path: Path, content: bytes) -> None:
    """Writes to a pipe or a device, which a file must not replace."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
