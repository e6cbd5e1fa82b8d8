"""`plan`, `load`, `read`, `fit`, `report`: what needs no measurement, and no torch."""

import difflib
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
import numpy as np

from harness import store, units
from harness.api import Shown
from harness.api.planning import planned
from harness.errors import UsageError
from harness.fit.groups import ALONE, GROUP, TIME, WORK, Group, fit_rows, fit_table, is_table, of_run
from harness.plan.options import Options
from harness.records import Run
from harness.records.plan import Plan
from harness.store import DEFAULT_RESULTS, load

if TYPE_CHECKING:
    import pandas as pd

    from harness.report.sources import Source

__all__ = ["DemandPlan", "Fits", "fit", "load", "plan", "read", "report"]

# Options of the command line that have another name in Python.
SPELLINGS = {"seq": "sequence", "target_seq": "target"}
FRAME = Path("DataFrame")


@dataclass(frozen=True, repr=False)
class DemandPlan(Shown):
    """What a large model needs. `record` is all of it: FLOPs, bytes, seconds."""

    record: Plan

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.record.parameters.total

    @property
    def active_parameters(self) -> int:
        """Those that work on one token."""
        return self.record.parameters.active

    @property
    def train_flops(self) -> float:
        """Matrix FLOPs of the whole training; a causal mask counts half."""
        return self.record.flops.train_total

    @property
    def train_memory_bytes(self) -> int:
        """Bytes on the fullest device in training."""
        return self.record.memory.total

    @property
    def inference_memory_bytes(self) -> int:
        """Bytes on the fullest device in inference."""
        return self.record.inference.memory

    @property
    def train_seconds(self) -> float | None:
        """Seconds of the whole training; None where no device or calibrated run is named (`on=`)."""
        return self.record.time.seconds if self.record.time else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval of that time, in seconds."""
        return (self.record.time.low, self.record.time.high) if self.record.time else None

    def as_dict(self) -> dict[str, Any]:
        """All of it for programs, as `plumbline plan --json` prints it."""
        found: dict[str, Any] = msgspec.to_builtins(self.record)
        return found

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        plan, cache = self.record, self.record.kv_cache
        title = f"{plan.model}: {self.parameters:,} parameters, {units.count(plan.tokens)} tokens or samples, {plan.devices} device{'' if plan.devices == 1 else 's'}"
        inference = units.size(self.inference_memory_bytes)
        if cache.bytes_per_token:
            inference += f", of that {units.size(cache.total)} KV cache"
        time = "not known: name a device or a calibrated run with on="
        if plan.time is not None:
            low, high = units.lasting(plan.time.low), units.lasting(plan.time.high)
            time = f"{units.lasting(plan.time.seconds)} ({low} to {high}) on {plan.time.on}"
        return title, [
            ("training", f"{units.total_work(self.train_flops)}, {units.size(self.train_memory_bytes)} on the fullest device"),
            ("inference", inference),
            ("time", time),
        ]  # fmt: skip


def plan(
    model: str | Path | Mapping[str, Any], *, results: str | Path = DEFAULT_RESULTS, **options: Any
) -> DemandPlan:
    """Plans what a large model needs: parameters, FLOPs, memory, time. Nothing runs.

    Args:
        model: A published model by name, a `config.json` or its folder, or such a configuration as a dict.
        results: The folder of runs, where `on` names one.
        options: Those of `plumbline plan`, with underscores: `tokens`, `batch`, `seq`, `dtype`, `optimizer`,
            `recompute`, `devices`, `tensor`, `pipeline`, `data`, `zero`, `on`, `mfu`, `memory`, ... Amounts are
            numbers, or text such as "1.4T".

    Returns:
        A `DemandPlan`: `parameters`, `train_flops`, `train_memory_bytes`, `inference_memory_bytes`, `train_seconds`;
        `record` has all of it.

    Raises:
        UsageError: no such model or option, or a value that is not allowed.

    >>> plan("llama-3-8b", seq=8192).parameters
    8030261248
    """
    given = _options(options)
    if not isinstance(model, Mapping):
        return DemandPlan(_planned(Options(str(model), **given), Path(results)))
    name = str(model.get("_name_or_path") or model.get("model_type") or "model").rpartition("/")[2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.json"
        path.write_bytes(msgspec.json.encode(dict(model)))
        try:
            return DemandPlan(_planned(Options(str(path), **given), Path(results)))
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), "the configuration")) from None


def _planned(options: Options, results: Path) -> Plan:
    try:
        return planned(options, results)[1]
    except UsageError as error:  # it names options as on a command line
        text = re.sub(r"--([a-z-]+) ?", lambda found: f"{found[1].replace('-', '_')}=", str(error))
        raise UsageError(text) from None


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options named as on the command line.

    >>> _options({"seq": 128, "tokens": 1e9, "flash": True})
    {'sequence': 128, 'tokens': '1000000000', 'flash': True}
    """
    known = get_type_hints(Options)
    spellings = {field.name: field.name for field in fields(Options)[1:]} | SPELLINGS
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in spellings:
            near = difflib.get_close_matches(name, spellings, 1)
            hint = f"; did you mean {near[0]}?" if near else f": one of {', '.join(sorted(spellings))}"
            raise UsageError(f"plan has no option {name!r}{hint}")
        kind = known[spellings[name]]
        text = kind == str | None
        if value is None:
            continue
        if text and isinstance(value, int | float) and not isinstance(value, bool):
            value = f"{value:.0f}" if float(value).is_integer() else repr(value)  # noqa: PLW2901
        if text or kind is str:
            wrong, wanted = (
                not isinstance(value, str),
                "text" if kind is str else "a number, or text such as 1.4T",
            )
        elif kind is bool:
            wrong, wanted = not isinstance(value, bool), "True or False"
        else:
            wrong, wanted = not isinstance(value, int) or isinstance(value, bool), "a whole number"
        if wrong:
            raise UsageError(f"{name}={value!r}: write {wanted}")
        found[spellings[name]] = value
    return found


def read(reference: str | Path = "latest", *, results: str | Path = DEFAULT_RESULTS) -> Run:
    """Reads a stored run.

    Args:
        reference: Its folder, its id or the start of one, or `latest`.
        results: The folder of runs.

    Returns:
        The run: `header` (settings, environment, measured peaks, verdicts), `results` (one for each case).

    Raises:
        UsageError: there is no such run.
        RecordError: it cannot be read.
    """
    return store.read(store.find(str(reference), Path(results)))


@dataclass(frozen=True, repr=False)
class Fits(Shown):
    """A scaling law for each group of sizes, or the reason why it is missing. Iterable; index it by the name of a group: `fits["matmul"]`."""

    groups: tuple[Group, ...]

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, name: str) -> Group:
        found = next((group for group in self.groups if group.name == name), None)
        if found is None:
            raise KeyError(f"no group {name!r}: one of {', '.join(group.name for group in self.groups)}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """All of it for programs, as `plumbline fit --json` prints it."""
        from harness.report.fits import as_json  # noqa: PLC0415 - a tenth of a second

        return as_json(self.groups)

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        rows = [(group.name, _model(group)) for group in self.groups]
        return f"{len(self.groups)} fit{'' if len(self.groups) == 1 else 's'}", rows


def _model(group: Group) -> str:
    if group.fitted is None:
        return group.reason
    residual = float(np.median(np.abs(group.fitted.residuals)))
    values = ", ".join(
        f"{one.name} = {one.value:.3g}" if one.identified else f"{one.name} not identified"
        for one in group.parameters
    )
    return f"{group.fitted.model}; {values}; median residual {units.percent(residual)}"


def fit(  # noqa: PLR0913 - the columns of a table, each once
    source: "pd.DataFrame | Run | str | Path",
    *,
    seconds: str = TIME,
    flops: str = WORK[0],
    bytes: str = WORK[1],  # noqa: A002 - the name of the column
    size: str = ALONE[0],
    threads: str = ALONE[1],
    group: str = GROUP,
    results: str | Path = DEFAULT_RESULTS,
) -> Fits:
    """Fits a scaling law to each group of a table, or to each sweep of a run.

    Args:
        source: A DataFrame; a run, or a reference to one; or the path of a CSV file.
        seconds: The column of times in seconds. A row without a time gets an estimate.
        flops: The column of FLOPs, if there is one of this name.
        bytes: The column of bytes moved, if there is one. With `flops` the model is of both.
        size: The column of sizes, where there are neither FLOPs nor bytes.
        threads: The column of threads, where there is nothing else.
        group: The column that names groups, if there is one.
        results: The folder of runs.

    Returns:
        `Fits`: for each group `fitted` (the model, its residuals), `parameters` (value, low, high, unit), and
        `predictions` for rows without a time.

    Raises:
        UsageError: a column is missing, or a cell is not a number; names the row and the column.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"flops": [1e6, 2e6, 4e6, 8e6, 16e6, 32e6]})
    >>> table["seconds"] = 1e-4 + table["flops"] / 1e9
    >>> [group.name for group in fit(table)]
    ['all']
    """
    if isinstance(source, Run):
        return Fits(of_run(source))
    if isinstance(source, str | Path):
        if is_table(str(source)):
            return Fits(fit_table(Path(source)))
        return Fits(of_run(read(source, results=results)))
    if not hasattr(source, "columns") or not hasattr(source, "itertuples"):
        raise UsageError(f"fit: {type(source).__name__} is not a DataFrame, a run or a path")
    roles = {TIME: seconds, WORK[0]: flops, WORK[1]: bytes, ALONE[0]: size, ALONE[1]: threads, GROUP: group}
    columns = list(map(str, source.columns))
    for role, column in roles.items():
        if column != role and column not in columns:
            raise UsageError(f"fit({role}={column!r}): no such column; there are {', '.join(columns)}")
    # A column of another name that plays a role takes the place of the one that has its name.
    renamed = {column: role for role, column in roles.items()}
    header = [renamed.get(column, f"({column})" if column in roles else column) for column in columns]
    rows = (
        (number, [_cell(value) for value in row])
        for number, row in enumerate(source.itertuples(index=False, name=None))
    )
    return Fits(fit_rows(FRAME, header, rows))


def _cell(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value)) or str(value) == "<NA>"
    return "" if missing else str(value)


def report(
    run: "Run | str | Path | Sequence[Run | str | Path]" = "latest",
    *,
    html: str | Path | None = None,
    markdown: str | Path | None = None,
    json: str | Path | None = None,
    results: str | Path = DEFAULT_RESULTS,
) -> tuple[Path, ...]:
    """Writes the report of a run, or of several beside each other; without a file, prints it.

    Args:
        run: A run, a reference to one (folder, id, `latest`), or several.
        html: The file of one self-contained page.
        markdown: The file of Markdown that fits into a job summary.
        json: The file of all of it for programs.
        results: The folder of runs.

    Returns:
        The files that were written.

    Raises:
        UsageError: there is no such run, or a file cannot be where it is named.
        StorageError: a file cannot be written.
    """
    from harness.report import publish  # noqa: PLC0415 - half a second, for reports alone

    several = run if isinstance(run, Sequence) and not isinstance(run, str) else [run]
    sources = [_source(one, Path(results)) for one in several]
    made: list[tuple[str | Path | None, Callable[[], bytes]]] = [
        (html, lambda: publish.as_html(sources).encode()),
        (markdown, lambda: publish.as_markdown(sources).encode()),
        (json, lambda: publish.as_json(sources)),
    ]
    wanted = [(Path(place), make) for place, make in made if place is not None]
    if not wanted:
        publish.publish(sources, publish.Wanted(), Path(results))
    publish.check_places([place for place, _ in wanted])
    for place, make in wanted:
        store.write_whole(place, make())
    return tuple(place for place, _ in wanted)


def _source(run: Run | str | Path, results: Path) -> "Source":
    from harness.report import sources  # noqa: PLC0415

    if isinstance(run, Run):
        return sources.Source(sources.judged(run))
    (found,) = sources.opened([str(run)], results)
    return found
