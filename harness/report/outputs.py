"""A report in each of its forms: a page, Markdown, JSON. All are functions of the recorded runs."""

from collections.abc import Sequence

from harness.check.comparison import side_by_side
from harness.errors import UsageError
from harness.report import comparison, document, markdown, sections
from harness.report.content import Page
from harness.report.sources import Source


def as_page(sources: Sequence[Source]) -> Page:
    """The content of the report of one run, or of several side by side."""
    runs = [source.run for source in sources]
    return sections.page(runs[0]) if len(runs) == 1 else comparison.page(runs, side_by_side(runs))


def as_html(sources: Sequence[Source]) -> str:
    """One HTML file.

    Raises:
        UsageError: what draws its charts is not installed.
    """
    try:
        from harness.report.charts import charts, charts_of_several  # noqa: PLC0415 - half a second
        from harness.report.html import html  # noqa: PLC0415
    except ModuleNotFoundError as error:
        package = (error.name or "altair").partition(".")[0]
        raise UsageError(
            f"a page needs {package}: `pip install altair jinja2 vl-convert-python`; Markdown and JSON do not"
        ) from error
    runs = [source.run for source in sources]
    if len(runs) == 1:
        return html(sections.page(runs[0]), charts(runs[0], sources[0].sensors))
    compared = side_by_side(runs)
    return html(comparison.page(runs, compared), charts_of_several(runs, compared))


def as_markdown(sources: Sequence[Source], place: str = markdown.SUMMARY.name) -> str:
    """Markdown that fits into a place: "summary" or "comment"."""
    return markdown.markdown(as_page(sources), markdown.PLACES[place])


def as_json(sources: Sequence[Source]) -> bytes:
    """The document of docs/report.schema.json."""
    return document.encoded(sources)
