"""Published models by name: their sizes, in the fields of a Hugging Face configuration, and their sources."""

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Known:
    """A published model; `source` is the document that its sizes are from."""

    name: str
    source: str
    config: dict[str, Any]


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@cache
def known() -> tuple[Known, ...]:
    """All bundled models; the file is read at the first call."""
    return tuple(model for group in _table()["group"] for model in _group(**group))


def _group(
    source: str,
    config: dict[str, Any],
    models: dict[str, list[Any]],
    columns: tuple[str, ...] = (),
    notes: dict[str, str] | None = None,
) -> Iterator[Known]:
    """The models of a group: fields they share, a row of values for `columns`, and a table of further fields."""
    for name, row in models.items():
        further = row[len(columns)] if len(row) > len(columns) else {}
        own = dict(zip(columns, row, strict=False))
        yield Known(name, source + (notes or {}).get(name, ""), config | own | further)


def names() -> tuple[str, ...]:
    """The names of all bundled models."""
    return tuple(model.name for model in known())


def plain(name: str) -> str:
    """A name without case and punctuation but for a decimal point, without its owner and without a final "hf".

    >>> plain("meta-llama/Llama-3.1-8B-hf"), plain("ViT-B/16")
    ('llama3.18b', 'vitb16')
    """
    owner, _, rest = name.rpartition("/")
    kept = rest if owner and len(rest) > 2 else name
    kept = re.sub(r"(?<![0-9])\.|\.(?![0-9])|[^a-z0-9.]", "", kept.lower())
    return kept.removesuffix("hf")


def find(name: str) -> Known | None:
    """The model of a name; the decimal point may be left out where that is unambiguous."""
    wanted = plain(name)
    wanted = plain(_table()["aliases"].get(wanted, wanted))
    for spelled in (plain, lambda text: plain(text).replace(".", "")):
        fitting = [model for model in known() if spelled(model.name) == wanted]
        if len(fitting) == 1:
            return fitting[0]
    return None


def closest(name: str) -> tuple[str, ...]:
    """Names that are similar to this one."""
    by_spelling = {plain(full): full for full in names()}
    near = difflib.get_close_matches(plain(name), by_spelling, n=5, cutoff=0.6)
    return tuple(by_spelling[spelling] for spelling in near)
