"""Models by their configuration: a `config.json`, or the name of a published model. Loads no torch and no transformers.

`published.toml` has the published models: their sizes, in the fields of a Hugging Face configuration, and their sources.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from harness.errors import UsageError, one_line
from harness.plan.families import FAMILIES, TEXT, family
from harness.plan.families.fields import Fields
from harness.records.architecture import Architecture

FILE = "config.json"
# Larger than any configuration, smaller than weights.
MOST_BYTES = 16 * 2**20
# The fields that have the text part of a model with several kinds of input.
NESTED = ("text_config", "language_config", "llm_config")
DTYPES = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")

Config = dict[str, Any]


class _Source(NamedTuple):
    """A configuration, with the file or the document that it is from; `document` is empty for a file."""

    config: Config
    where: str
    name: str
    document: str = ""


def read(reference: str) -> Architecture:
    """The model of a `config.json` (the file, or its folder), or of a published name.

    Raises:
        UsageError: one line with the file, the field, what is wrong and what is allowed.
    """
    config, where, name, document = _source(reference)
    model = _described(config, where, name)
    return msgspec.structs.replace(model, source=document) if document else model


def described(config: Config, name: str) -> Architecture:
    """The model of a configuration from elsewhere.

    Raises:
        UsageError: as `read` does.
    """
    return _described(config, name, name)


def values(reference: str) -> Config:
    """The fields of a configuration as they are.

    Raises:
        UsageError: as `read` does.
    """
    return _source(reference).config


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))


@cache
def _published() -> dict[str, _Source]:
    """The published models by name; the file is read at the first call."""
    return {model.name: model for group in _table()["group"] for model in _group(**group)}


def _group(
    source: str,
    config: Config,
    models: dict[str, list[Any]],
    columns: tuple[str, ...] = (),
    notes: dict[str, str] | None = None,
) -> Iterator[_Source]:
    """The models of a group: fields they share, a row of values for `columns`, and a table of further fields."""
    for name, row in models.items():
        further = row[len(columns)] if len(row) > len(columns) else {}
        own = config | dict(zip(columns, row, strict=False)) | further
        yield _Source(own, name, name, source + (notes or {}).get(name, ""))


def names() -> tuple[str, ...]:
    """The names of the published models."""
    return tuple(_published())


def plain(name: str) -> str:
    """A name without case and punctuation but for a decimal point, without its owner and without a final "hf".

    >>> plain("meta-llama/Llama-3.1-8B-hf"), plain("ViT-B/16")
    ('llama3.18b', 'vitb16')
    """
    owner, _, rest = name.rpartition("/")
    kept = rest if owner and len(rest) > 2 else name
    kept = re.sub(r"(?<![0-9])\.|\.(?![0-9])|[^a-z0-9.]", "", kept.lower())
    return kept.removesuffix("hf")


def find(name: str) -> str | None:
    """The full name of a published model; the decimal point may be left out where that is unambiguous."""
    wanted = plain(name)
    wanted = plain(_table()["aliases"].get(wanted, wanted))
    for spelled in (plain, lambda text: plain(text).replace(".", "")):
        fitting = [known for known in names() if spelled(known) == wanted]
        if len(fitting) == 1:
            return fitting[0]
    return None


def _source(reference: str) -> _Source:
    path = Path(reference).expanduser()
    if not reference.strip():
        raise UsageError(f"CONFIG: empty; give a {FILE}, its folder, or the name of a published model")
    try:
        folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise UsageError(f"{reference[:200]!r}: not a path: {one_line(error)}") from error
    if folder and ((path / FILE).exists() or find(reference) is None):
        return _Source(_loaded(path / FILE), str(path / FILE), path.resolve().name)
    if exists and not folder:
        name = path.resolve().parent.name if path.name == FILE else path.stem
        return _Source(_loaded(path), str(path), name)
    known = find(reference)
    if known is None:
        raise UsageError(_unknown(reference))
    model = _published()[known]
    return model._replace(config=dict(model.config))


def _unknown(reference: str) -> str:
    by_spelling = {plain(name): name for name in names()}
    near = difflib.get_close_matches(plain(reference), by_spelling, n=5, cutoff=0.6)
    hint = f"the closest names are {', '.join(by_spelling[spelling] for spelling in near)}"
    if not near:
        hint = f"the names are {', '.join(names())}"
    return f"{reference}: no such file or folder, and no published model of that name; {hint}"


def _loaded(path: Path) -> Config:
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: not a file; a {FILE} is needed")
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path}: too large for a {FILE} ({path.stat().st_size >> 20} MiB)")
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; a {FILE} is needed") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {one_line(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {one_line(error)}") from error
    if not isinstance(config, dict):
        kinds = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
        raise UsageError(f"{path}: an object of fields is needed, not {kinds.get(type(config), 'a number')}")
    return config


def _described(config: Config, where: str, name: str) -> Architecture:
    """The model that fields describe; with several kinds of input, its text part."""
    fields, source = Fields(config, where), where
    inner = next((key for key in NESTED if config.get(key) is not None), None)
    if inner is not None and config.get("model_type") not in FAMILIES:
        fields, source = _text(fields, inner), f"{where}: {inner}, the text part alone"
    model = FAMILIES[family(fields)](fields)
    return msgspec.structs.replace(model, name=name, dtype=_dtype(fields), source=source)


def _text(fields: Fields, inner: str) -> Fields:
    """The configuration of the text part. It may be sparse: fields that it leaves out are its family's defaults."""
    part = fields.values[inner]
    if not isinstance(part, dict):
        raise fields.wrong(inner, part, "an object of fields")
    outer = fields.values.get("model_type")
    filled = {key: fields.values[key] for key in ("dtype", "torch_dtype") if key in fields.values} | part
    if part.get("model_type") is None and not part.get("architectures"):
        filled["model_type"] = TEXT.get(str(outer), outer)
    return Fields(filled, f"{fields.where}, {inner}", complete=False)


def _dtype(fields: Fields) -> str:
    """The dtype of stored weights: `dtype`, or `torch_dtype`, its older name; float32 without either."""
    for field in ("dtype", "torch_dtype"):
        if field in fields.values and fields.values[field] not in (None, "auto"):
            word = fields.word(field, "float32").removeprefix("torch.")
            if word not in DTYPES:
                raise fields.wrong(field, fields.values[field], f"one of {', '.join(DTYPES)}")
            return word
    return "float32"
