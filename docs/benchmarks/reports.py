"""Measure the time and size of a report: of the reference run, of a run with 2,000 cases, and of twenty runs.

    python docs/benchmarks/reports.py > results/reference/benchmarks/reports.json

The table goes to standard error. The larger runs are the cases of the reference run under other names; nothing is benchmarked.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from harness import stats, store, units
from harness.records import Run

REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference" / "epyc-2-cores-cpu"
ROUNDS, CASES, MACHINES = 5, 2000, 20


def main() -> None:
    reference = store.read(REFERENCE)
    with tempfile.TemporaryDirectory() as folder:
        fleet = [
            saved(repeated(reference, f"{i:06d}"), Path(folder) / f"run{i:02d}") for i in range(MACHINES)
        ]
        subjects = {"reference run, 437 cases": [REFERENCE], "one run, 2,000 cases": fleet[:1]}
        subjects["20 runs of 2,000 cases"] = fleet
        times = {name: timed(name, runs, Path(folder) / name) for name, runs in subjects.items()}
        times["first page on a machine"] = first(Path(folder))
    json.dump(times, sys.stdout, indent=1)


def repeated(run: Run, tag: str) -> Run:
    """Returns a run of `CASES` cases: those of `run`, repeated under other names."""
    copies = range(-(-CASES // len(run.results)))
    cases = [
        (f"{result.case.id}-copy{i}" if i else result.case.id, result)
        for i in copies
        for result in run.results
    ]
    results = tuple(
        msgspec.structs.replace(result, case=msgspec.structs.replace(result.case, id=name))
        for name, result in cases[:CASES]
    )
    planned = tuple(result.case.id for result in results)
    header = msgspec.structs.replace(run.header, id=f"{run.header.id[:-6]}{tag}", planned=planned)
    return Run(header, results)


def saved(run: Run, folder: Path) -> Path:
    folder.mkdir()
    (folder / store.HEADER).write_bytes(msgspec.json.encode(run.header))
    (folder / store.CASES).write_bytes(
        b"".join(msgspec.json.encode(result) + b"\n" for result in run.results)
    )
    return folder


def first(folder: Path) -> dict[str, object]:
    """Times the page of the reference run while the library that draws charts is not in the cache yet."""
    seconds = []
    for place in range(ROUNDS):
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / f"cache{place}")}
        start = time.perf_counter()
        command = ["plumbline", "report", REFERENCE, "--html", folder / "first.html"]
        subprocess.run(command, capture_output=True, check=True, env=environment)
        seconds.append(time.perf_counter() - start)
    cells = " | ".join(units.seconds(v) for v in (stats.median(seconds), min(seconds), max(seconds)))
    print(f"| reference run, the first page on a machine | html | {cells} | |", file=sys.stderr)
    return {"seconds": {"html": seconds}}


def timed(name: str, runs: list[Path], out: Path) -> dict[str, object]:
    """Times each form of a report, interleaved, and returns its bytes; after the first page the library is in the cache."""
    seconds: dict[str, list[float]] = {}
    size: dict[str, int] = {}
    for _ in range(ROUNDS):
        for form in ("html", "markdown", "json"):
            path = out.with_suffix(f".{form}")
            start = time.perf_counter()
            subprocess.run(
                ["plumbline", "report", *map(str, runs), f"--{form}", path], capture_output=True, check=True
            )
            seconds.setdefault(form, []).append(time.perf_counter() - start)
            size[form] = path.stat().st_size
    for form, values in seconds.items():
        cells = " | ".join(units.seconds(v) for v in (stats.median(values), min(values), max(values)))
        print(f"| {name} | {form} | {cells} | {units.size(size[form])} |", file=sys.stderr)
    return {"seconds": seconds, "bytes": size}


if __name__ == "__main__":
    main()
