"""The public API behind `import plumbline`: one file a noun, each loaded when it is first used."""

from collections.abc import Sequence
from html import escape


class Shown:
    """A result that is shown as a few plain lines, and as a table in a notebook."""

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        """A title, and rows of a label and a text."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, rows = self._shown()
        width = max((len(label) for label, _ in rows), default=0)
        return "\n".join([title, *(f"  {label:<{width}}  {text}" for label, text in rows)])

    def _repr_html_(self) -> str:
        title, rows = self._shown()
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(label)}</th>"
            f"<td style='text-align:left'>{escape(text)}</td></tr>"
            for label, text in rows
        )
        return f"<table><caption style='text-align:left'>{escape(title)}</caption>{cells}</table>"
