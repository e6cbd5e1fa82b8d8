"""The runs of a report, from folders, ids, or the JSON of an earlier report."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness import store
from harness.check.findings import findings
from harness.errors import UsageError
from harness.records import Run, SensorSeries


@dataclass(frozen=True)
class Source:
    """A judged run, and the readings of its device's sensors."""

    run: Run
    sensors: tuple[SensorSeries, ...] = ()


def opened(references: Sequence[str], results: Path) -> tuple[Source, ...]:
    """The runs of some references in their order; each is a path, an id, `latest`, or a report.json.

    Raises:
        UsageError: there is no such run, or one is named twice.
        RecordError: it cannot be read.
    """
    sources = [source for reference in references for source in _opened(reference, results)]
    ids = [source.run.header.id for source in sources]
    for run_id in ids:
        if ids.count(run_id) > 1:
            raise UsageError(f"run {run_id} is named twice: name each run once")
    return tuple(sources)


def _opened(reference: str, results: Path) -> tuple[Source, ...]:
    if reference.endswith(".json") and _is_file(reference):
        from harness.report.document import read  # noqa: PLC0415 - it reads into what stands here

        return read(Path(reference))
    return (of_folder(store.find(reference, results)),)


def _is_file(reference: str) -> bool:
    with contextlib.suppress(OSError):  # a reference no path can be, such as one too long
        return Path(reference).is_file()
    return False


def of_folder(folder: Path) -> Source:
    """A run from its folder.

    Raises:
        RecordError: it cannot be read.
    """
    return Source(judged(store.read(folder)), store.sensors(folder))


def judged(run: Run) -> Run:
    """The run with the verdicts and findings it was stored with; judged now where it has none (incomplete)."""
    if run.header.verdicts:
        stored = run.header.findings or findings(run)
        return msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, findings=stored))
    from harness.check.judge import judge  # noqa: PLC0415 - half a second of imports that a stored verdict saves

    return judge(run)
