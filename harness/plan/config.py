"""Reads what describes a model: a `config.json`, or the name of a published one. Loads no torch and no transformers."""

import json
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import UsageError, one_line
from harness.plan import published
from harness.plan.families import FAMILIES, TEXT, family
from harness.plan.families.fields import Fields
from harness.records.architecture import Architecture

FILE = "config.json"
# No configuration is as large as this; weights are.
MOST_BYTES = 16 * 2**20
# The text part of a model of several kinds of input, by the names it goes by.
NESTED = ("text_config", "language_config", "llm_config")
DTYPES = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def read(reference: str) -> Architecture:
    """The model of a `config.json` (the file, or the folder it is in), or of a bundled name.

    Raises:
        UsageError: one line that says what is wrong with which field of which file, and what is allowed.
    """
    found, where, name, source = _found(reference)
    model = _described(found, where, name)
    return model if source is None else msgspec.structs.replace(model, source=source)


def described(fields: dict[str, Any], name: str) -> Architecture:
    """The model that fields describe, wherever they are from.

    Raises:
        UsageError: as `read` does.
    """
    return _described(fields, name, name)


def values(reference: str) -> dict[str, Any]:
    """The fields themselves, as they stand there.

    Raises:
        UsageError: as `read` does.
    """
    return dict(_found(reference)[0])


def _found(reference: str) -> tuple[dict[str, Any], str, str, str | None]:
    """The fields of a model, where they are from, its name, and the source of one that is bundled."""
    path = Path(reference).expanduser()
    if not reference.strip():
        raise UsageError(
            f"a {FILE}, the folder of one, or the name of a published model is needed; none is given"
        )
    try:
        folder, there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise UsageError(f"{reference[:200]!r} is no path: {one_line(error)}") from error
    if folder and ((path / FILE).exists() or published.find(reference) is None):
        return _loaded(path / FILE), str(path / FILE), path.resolve().name, None
    if there and not folder:
        name = path.resolve().parent.name if path.name == FILE else path.stem
        return _loaded(path), str(path), name, None
    known = published.find(reference)
    if known is None:
        raise UsageError(_unknown(reference))
    return dict(known.config), known.name, known.name, known.source


def _unknown(reference: str) -> str:
    near = published.closest(reference)
    hint = (
        f"closest of the bundled ones: {', '.join(near)}"
        if near
        else f"bundled are {', '.join(published.names())}"
    )
    return f"{reference}: no such file or folder, and no published model of that name; {hint}"


def _loaded(path: Path) -> dict[str, Any]:
    """The object in a file."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: is no file; a {FILE} is needed")
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{path}: too large for a {FILE} ({path.stat().st_size >> 20} MiB)")
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; a {FILE} is needed") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {one_line(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no JSON: {one_line(error)}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: an object of fields is needed, not {_kind(found)}")
    return found


def _kind(value: object) -> str:
    kinds = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _described(values: dict[str, Any], where: str, name: str) -> Architecture:
    """The model that fields describe; of several kinds of input, its text part."""
    fields, source = Fields(values, where), where
    inner = next((key for key in NESTED if values.get(key) is not None), None)
    if inner is not None and fields.values.get("model_type") not in FAMILIES:
        fields, source = _text(fields, inner), f"{where}: {inner}, the text part alone"
    kind = family(fields)
    model = FAMILIES[kind](fields)
    return msgspec.structs.replace(model, name=name, dtype=_dtype(fields), source=source)


def _text(fields: Fields, inner: str) -> Fields:
    """The configuration of the text part. It may be sparse: what it leaves out is its family's default."""
    values = fields.values[inner]
    if not isinstance(values, dict):
        raise fields.wrong(inner, values, "an object of fields")
    outer = fields.values.get("model_type")
    filled = {key: fields.values[key] for key in ("dtype", "torch_dtype") if key in fields.values} | values
    if values.get("model_type") is None and not values.get("architectures"):
        filled["model_type"] = TEXT.get(str(outer), outer)
    return Fields(filled, f"{fields.where}, {inner}", complete=False)


def _dtype(fields: Fields) -> str:
    """What weights are stored in: `dtype`, or `torch_dtype` as it was called before; float32 where neither is given."""
    for field in ("dtype", "torch_dtype"):
        if field in fields.values and fields.values[field] not in (None, "auto"):
            word = fields.word(field, "float32").removeprefix("torch.")
            if word not in DTYPES:
                raise fields.wrong(field, fields.values[field], f"one of {', '.join(DTYPES)}")
            return word
    return "float32"
