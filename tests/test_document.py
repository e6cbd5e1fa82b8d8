"""The JSON of a report: described by a schema, whole, without secrets, and a report by itself."""

import contextlib
import getpass
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from harness.errors import RecordError
from harness.measure.environment.capture import Sources, capture
from harness.records import Run
from harness.report import document
from harness.report.document import DOCUMENT_VERSION
from harness.report.publish import as_html, as_json, as_markdown, as_page
from harness.report.sources import Source, opened
from tests import odd_runs

KEPT = ("epyc", "xeon")
REPORTS = (*KEPT, *odd_runs.odd())
SCHEMA = Path(__file__).resolve().parent.parent / "docs" / "report.schema.json"


def sources(name: str) -> tuple[Source, ...]:
    return (odd_runs.reference(name),) if name in KEPT else odd_runs.odd()[name].sources


@cache
def encoded(name: str) -> bytes:
    return as_json(sources(name))


def read_back(content: bytes, folder: Path) -> tuple[Source, ...]:
    path = folder / "report.json"
    path.write_bytes(content)
    return document.read(path)


# The schema.


def test_the_schema_that_is_kept_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == json.dumps(document.schema(), indent=1) + "\n"


@cache
def validator() -> Any:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", REPORTS)
def test_every_document_is_as_the_schema_says(name: str) -> None:
    told = json.loads(encoded(name))
    for run in told["runs"]:  # of so many alike every seventh will do
        if len(run["results"]) > 200:
            run |= {part: run[part][::7] for part in ("cases", "results")}

    found = [f"{error.json_path}: {error.message[:200]}" for error in validator().iter_errors(told)]

    assert not found


def test_the_schema_finds_what_is_wrong() -> None:
    good = json.loads(encoded("one case"))

    def spoiled(change: Callable[[Any], object]) -> list[Any]:
        bad = json.loads(encoded("one case"))
        change(bad)
        return list(validator().iter_errors(bad))

    assert not list(validator().iter_errors(good))
    assert spoiled(lambda one: one.pop("version"))
    assert spoiled(lambda one: one.update(format="something else"))
    assert spoiled(lambda one: one["runs"][0].pop("run"))
    assert spoiled(lambda one: one["runs"][0]["run"].update(id=7))
    assert spoiled(lambda one: one["runs"][0]["results"][0]["outcome"].pop("view"))
    assert spoiled(lambda one: one["runs"][0]["results"][0]["outcome"].update(type="dreamt"))
    assert spoiled(lambda one: one["runs"][0]["cases"].append({"case": []}))


def test_every_field_of_a_document_is_in_the_schema() -> None:
    """Nothing is written that the schema is silent about."""
    strict = _closed(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for name in ("xeon", "everything", "two runs"):
        errors = jsonschema.Draft202012Validator(strict).iter_errors(json.loads(encoded(name)))
        assert not [error.message[:200] for error in errors]


def _closed(schema: Any) -> Any:
    """The schema with no room for a field that it does not name."""
    if isinstance(schema, dict):
        inner = {key: _closed(part) for key, part in schema.items()}
        return {**inner, "additionalProperties": False} if "properties" in inner else inner
    return [_closed(part) for part in schema] if isinstance(schema, list) else schema


# A report by itself.


@pytest.mark.parametrize("name", REPORTS)
def test_a_run_survives_the_way_there_and_back(name: str, tmp_path: Path) -> None:
    there, back = sources(name), read_back(encoded(name), tmp_path)

    assert len(there) == len(back)
    for one, other in zip(there, back, strict=True):
        assert other.run.header == one.run.header
        assert other.run.results == one.run.results
        assert other.run.damage == one.run.damage
        assert other.run.complete == one.run.complete
        assert other.sensors == one.sensors
    assert as_json(back) == encoded(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_the_document_is_that_of_the_runs(name: str, tmp_path: Path) -> None:
    there, back = sources(name), read_back(encoded(name), tmp_path)

    assert as_page(back) == as_page(there)
    for place in ("summary", "comment"):
        assert as_markdown(back, place) == as_markdown(there, place)
    if name != "many":
        assert as_html(back) == as_html(there)


def test_a_document_is_a_run_to_every_command(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(encoded("three runs"))

    assert [one.run.header for one in opened([str(path)], tmp_path)] == [
        source.run.header for source in sources("three runs")
    ]


@pytest.mark.parametrize("name", REPORTS)
def test_numbers_are_numbers(name: str) -> None:
    def refuse(token: str) -> None:
        raise AssertionError(token)

    told = json.loads(encoded(name), parse_constant=refuse)

    assert encoded(name).endswith(b"}\n")
    assert told["format"] == "plumbline-report"
    assert told["version"] == DOCUMENT_VERSION
    assert len(told["comparisons"]) == len(told["runs"]) - 1


@pytest.mark.parametrize("name", [*KEPT, "everything"])
def test_rows_say_what_the_results_say(name: str) -> None:
    told, run = json.loads(encoded(name))["runs"][0], sources(name)[0].run

    assert [row["case"] for row in told["cases"]] == [result.case.id for result in run.results]
    for row, one in zip(told["cases"], run.results, strict=True):
        measurement = one.measurement
        assert row["run"] == run.header.id
        assert row.get("median_seconds") == (measurement.median if measurement else None)
        if measurement and one.case.cost and one.case.cost.flops:
            assert row["flops_per_second"] == pytest.approx(one.case.cost.flops / measurement.median)


# What is no document, or one of tomorrow.


def trouble_with(path: Path) -> str:
    with pytest.raises(RecordError) as caught:
        document.read(path)
    text = str(caught.value)
    assert str(path) in text
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"not json",
        b'{"format": "plumbline-report"}',
        b'{"format": "plumbline-report", "version": "1", "runs": []}',
        b'{"format": "plumbline-report", "version": 1}',
        b'{"format": "plumbline-report", "version": 1, "runs": [{}]}',
        b'{"format": "something else", "version": 1, "runs": []}',
        b'{"format": "something else", "version": 99, "runs": []}',
        b'{"benchmarks": [], "version": "5.3.1"}',
        b"\xff\xfe\x00\x01",
        b'{"format": "\xff", "version": 1}',
        b'{"format": "plumbline-report", "version": 1, "runs": [], "more": ' + b"[" * 100_000,
    ],
    ids=range(15),
)
def test_what_is_no_document_is_told_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)

    assert "is not a report of Plumbline" in trouble_with(path)


def test_a_newer_document_says_so(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    told = json.loads(encoded("one case"))
    path.write_text(json.dumps({**told, "version": DOCUMENT_VERSION + 1, "runs": "in another form"}))

    text = trouble_with(path)

    assert "written by a newer Plumbline" in text
    assert f"version {DOCUMENT_VERSION + 1}" in text


def test_a_document_cut_off_anywhere_is_told(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    whole = encoded("one case").rstrip()
    for end in range(0, len(whole), len(whole) // 100):
        path.write_bytes(whole[:end])
        trouble_with(path)
    path.write_bytes(whole[:-1])
    trouble_with(path)


def test_a_file_that_is_missing_or_a_folder_is_told(tmp_path: Path) -> None:
    assert "cannot read" in trouble_with(tmp_path / "missing.json")
    assert "cannot read" in trouble_with(tmp_path)


def test_fields_of_tomorrow_are_ignored(tmp_path: Path) -> None:
    told = json.loads(encoded("everything"))
    run = told["runs"][0]
    places = [
        told,
        run,
        run["run"],
        run["run"]["settings"],
        run["run"]["settings"]["sampling"],
        run["run"]["environment"],
        run["run"]["environment"]["software"]["torch"],
        run["run"]["peaks"][0],
        run["run"]["findings"][0],
        run["sensors"][0],
        run["sensors"][0]["readings"][0],
        *run["results"],
        *(one["case"] for one in run["results"]),
        *(one["outcome"] for one in run["results"]),
    ]
    for place in places:
        place["of_tomorrow"] = {"deep": [1, {"deeper": None}]}

    assert read_back(json.dumps(told).encode(), tmp_path) == read_back(encoded("everything"), tmp_path)


# Nothing private.


class _Text(HTMLParser):
    """What a page says, without its style and the library's script."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._skipped = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipped = tag == "style" or (tag, ("type", "module")) in ((tag, attr) for attr in attrs)
        self.parts += [value or "" for name, value in attrs if name not in {"content", "role"}]

    def handle_endtag(self, tag: str) -> None:
        self._skipped = False

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.parts.append(data)


def forms(run: Run) -> Iterator[tuple[str, str]]:
    """A report in all its forms, as text."""
    found = [Source(run)]
    text = _Text()
    text.feed(as_html(found))
    yield "html", "\n".join(text.parts)
    yield "json", as_json(found).decode()
    yield "summary", as_markdown(found)
    yield "comment", as_markdown(found, "comment")


def captured(**variables: str) -> Run:
    environment = capture(
        "cpu", Sources(variables={**os.environ, **variables}, arguments=("plumbline", "bench"))
    )
    return odd_runs.in_header(odd_runs.words().run, environment=environment)


def test_no_form_of_a_report_names_the_person_or_the_machine() -> None:
    names = {socket.gethostname(), socket.gethostname().partition(".")[0]}
    with contextlib.suppress(
        OSError, KeyError, ImportError
    ):  # no entry for the user id, as in many containers
        names.add(getpass.getuser())
    homes = {os.path.expanduser("~"), str(Path.home())}  # noqa: PTH111
    run = captured()

    for form, text in forms(run):
        for name in names - {"", "localhost"}:
            assert not re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text, re.IGNORECASE), (
                form,
                name,
            )
        for home in homes - {"/"}:
            assert home not in text, form


def test_only_variables_that_change_results_are_in_a_report() -> None:
    planted = "s3cr3t-value"
    run = captured(
        OMP_NUM_THREADS="7",
        AWS_SECRET_ACCESS_KEY=f"{planted}1",
        HF_TOKEN=f"{planted}2",
        MADE_UP=f"{planted}3",
        TORCH_HUB_TOKEN=f"{planted}4",
        DATABASE_URL=f"postgres://ada:{planted}5@example.org/db",
    )

    assert run.header.environment.software.environment_variables["OMP_NUM_THREADS"] == "7"
    for form, text in forms(run):
        assert planted not in text, form
        for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MADE_UP", "TORCH_HUB_TOKEN", "DATABASE_URL"):
            assert name not in text, form
    assert '"OMP_NUM_THREADS":"7"' in as_json([Source(run)]).decode()


def test_the_document_of_a_real_capture_is_as_the_schema_says(tmp_path: Path) -> None:
    run = captured()
    content = as_json([Source(run)])

    assert not [error.message[:200] for error in validator().iter_errors(json.loads(content))]
    assert read_back(content, tmp_path)[0].run.header == run.header


def test_what_is_written_is_what_msgspec_reads() -> None:
    """Any reader of JSON sees the same."""
    assert msgspec.json.decode(encoded("everything")) == json.loads(encoded("everything"))
