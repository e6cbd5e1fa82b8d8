"""Measure how long it takes to make a data set of a million results from run folders, and to query it.

    python docs/benchmarks/store.py > results/reference/benchmarks/store.json

The table goes to standard error. The runs are synthetic: 1,000 hosts x 25 runs x 40 cases, with the header and lines of the
reference run and other hosts, dates and times. They need about 6 GB in a temporary folder, which is removed at the end. The
files were just written, so they are read from the page cache. Nothing is benchmarked.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from harness import stats, store, units
from harness.records import Header

REFERENCE = Path(__file__).parent.parent.parent / "results" / "reference" / "epyc-2-cores-cpu"
HOSTS, RUNS, CASES, ROUNDS, VARIANTS = 1000, 25, 40, 7, 50
FIRST, APART = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=14)
MODELS = ("AMD EPYC", "Intel(R) Xeon(R) Processor", "Neoverse-V2", "AMD EPYC 9554 64-Core Processor")
# The commands to time; CASE, DIR and HOST are replaced.
COMMANDS = {
    "one_host": ("history", "CASE", "--store", "DIR", "--host", "HOST", "--json"),
    "all_hosts": ("history", "CASE", "--store", "DIR", "--json"),
}
AGGREGATE = (
    'SELECT "case", host, median(median_seconds),'
    " quantile_cont(median_seconds, 0.75) - quantile_cont(median_seconds, 0.25), count(*)"
    ' FROM results GROUP BY "case", host'
)
_Result = TypeVar("_Result")
_TIMES = re.compile(
    rb'("(?:median|p05|p25|p75|p95|p99|fastest|slowest|mean)":)([0-9.e-]+)|("block_medians":\[)([^\]]*)'
)
_LAST_DIGITS = re.compile(
    rb'("(?:median|fastest|p25|p75)":0\.\d{6,}?|"block_medians":\[0\.\d{6,}?)\d{8}(?=[,}\]])'
)


def main() -> None:
    chance = random.Random(7)  # noqa: S311 - synthetic times
    with tempfile.TemporaryDirectory() as name:
        results, data = Path(name) / "results", Path(name) / "data"
        needed, free = 8 << 30, shutil.disk_usage(name).free
        if free < needed:
            sys.exit(f"{name}: {units.size(free)} free; {units.size(needed)} are needed")
        cases = written(results, chance)
        record: dict[str, object] = {
            "hosts": HOSTS,
            "runs": HOSTS * RUNS,
            "results": HOSTS * RUNS * CASES,
            "bytes_of_folders": size(results),
            "load_average_before": os.getloadavg()[0],
        }
        record |= compacted(results, data) | queried(data, cases, chance)
        record["command_seconds"] = commanded(data, chance.choice(cases))
    json.dump(record, sys.stdout, indent=1)


def written(results: Path, chance: random.Random) -> list[str]:
    """Writes the run folders and returns the ids of their cases."""
    lines = [line for line in (REFERENCE / store.CASES).read_bytes().splitlines() if b'"measurement"' in line]
    chosen = lines[:: len(lines) // CASES][:CASES]
    cases = [str(msgspec.json.decode(line)["case"]["id"]) for line in chosen]
    variants = [[scaled(line, chance.lognormvariate(0.0, 0.02)) for _ in range(VARIANTS)] for line in chosen]
    text, marks = header(cases)
    for host in range(HOSTS):
        shift = timedelta(minutes=host)
        for run in range(RUNS):
            at = FIRST + run * APART + shift
            name = f"{at:%Y%m%dT%H%M%SZ}-{host:08x}-{chance.getrandbits(40):010x}"
            values = (
                name,
                at.isoformat(),
                f"{host:016x}",
                MODELS[host % len(MODELS)],
                f"2.{13 + run // 13}.0",
            )
            folder = results / name
            folder.mkdir(parents=True)
            content = text
            for mark, value in zip(marks, values, strict=True):
                content = content.replace(mark, value.encode())
            (folder / store.HEADER).write_bytes(content)
            (folder / store.CASES).write_bytes(
                b"".join(digits(chance.choice(kinds), chance) for kinds in variants)
            )
    return cases


def scaled(line: bytes, factor: float) -> bytes:
    """Multiplies all times of a line, and leaves room for other last digits in the times that rows use."""

    def multiplied(match: re.Match[bytes]) -> bytes:
        values = [f"{float(value) * factor!r}" for value in (match[2] or match[4]).split(b",")]
        return (match[1] or match[3]) + ",".join(values).encode()

    return _LAST_DIGITS.sub(rb"\1%08d", _TIMES.sub(multiplied, line).replace(b"%", b"%%")) + b"\n"


def digits(line: bytes, chance: random.Random) -> bytes:
    """Fills in last digits, so that no two runs have the same times."""
    return line % tuple(chance.getrandbits(26) for _ in range(line.count(b"%08d")))


def header(cases: list[str]) -> tuple[bytes, tuple[bytes, ...]]:
    """Returns the header of a run of these cases, and its marks for id, time, host, processor and torch."""
    reference = store.read(REFERENCE).header
    marks = ("%ID%", "%TIME%", "%HOST%", "%MODEL%", "%TORCH%")
    fields = msgspec.to_builtins(reference) | {"id": marks[0], "started_at": marks[1], "planned": cases}
    fields["finished_at"] = marks[1]
    fields["environment"]["host"]["id"] = marks[2]
    fields["environment"]["processor"]["model_name"] = marks[3]
    fields["environment"]["software"]["torch"]["version"] = marks[4]
    fields["estimates"] = [estimate for estimate in fields["estimates"] if estimate["case"] in cases]
    fields["verdicts"] = [verdict for verdict in fields["verdicts"] if verdict["subject"] in cases]
    fields |= {"fits": [], "validations": [], "optimizations": [], "findings": [], "cost_model": None}
    msgspec.convert(fields, Header)
    return msgspec.json.format(msgspec.json.encode(fields), indent=1), tuple(mark.encode() for mark in marks)


def compacted(results: Path, data: Path) -> dict[str, object]:
    before_cpu = os.times()
    first, outcome = timed(lambda: store.compact([results], str(data)))
    cpu = sum(os.times()[:4]) - sum(before_cpu[:4])
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*.parquet")}
    second, again = timed(lambda: store.compact([results], str(data)))
    if (outcome.rows, again.known, again.rows) != (HOSTS * RUNS * CASES, HOSTS * RUNS, 0):
        sys.exit(f"compaction lost rows: {outcome}, {again}")
    if before != {path: path.stat().st_mtime_ns for path in data.rglob("*.parquet")}:
        sys.exit("the second compaction changed a file")
    show("made from run folders", first)
    show("CPU time of all processes for that", cpu)
    show("the same again, without new runs", second)
    print(f"| size | {units.size(size(data))} in {len(before)} files |", file=sys.stderr)
    return {
        "compact_seconds": first,
        "compact_cpu_seconds": cpu,
        "again_seconds": second,
        "bytes": size(data),
        "files": len(before),
    }


def queried(data: Path, cases: list[str], chance: random.Random) -> dict[str, object]:
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        case, host = chance.choice(cases), f"{chance.randrange(HOSTS):016x}"
        took, opened = timed(lambda: store.DataSet(data))
        seconds.setdefault("opened", []).append(took)
        took, rows = timed(lambda opened=opened, case=case, host=host: opened.rows(case=case, host=host))  # type: ignore[misc]
        seconds.setdefault("one_series", []).append(took)
        took, all_hosts = timed(lambda opened=opened, case=case: opened.rows(case=case))  # type: ignore[misc]
        seconds.setdefault("one_case_of_all_hosts", []).append(took)
        took, groups = timed(lambda opened=opened: opened.sql(AGGREGATE))  # type: ignore[misc]
        seconds.setdefault("aggregate", []).append(took)
        if (len(rows), len(all_hosts), len(groups)) != (RUNS, HOSTS * RUNS, HOSTS * CASES):
            sys.exit(f"a query lost rows: {len(rows)}, {len(all_hosts)}, {len(groups)}")
    for name, values in seconds.items():
        show(name.replace("_", " "), *values)
    return {f"{name}_seconds": values for name, values in seconds.items()}


def commanded(data: Path, case: str) -> dict[str, list[float]]:
    """Times the commands."""
    replaced = {"CASE": case, "DIR": str(data), "HOST": f"{HOSTS // 2:016x}"}
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            words = [replaced.get(word, word) for word in command]
            took, done = timed(
                lambda words=words: subprocess.run(  # type: ignore[misc]
                    [sys.executable, "-m", "harness.cli", *words], capture_output=True, check=False
                )
            )
            if done.returncode:
                sys.exit(f"plumbline history: {done.stderr.decode().strip()[-200:]}")
            seconds.setdefault(name, []).append(took)
    for name, values in seconds.items():
        show(f"plumbline history, {name.replace('_', ' ')}", *values)
    return seconds


def timed(work: Callable[[], _Result]) -> tuple[float, _Result]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(name: str, *seconds: float) -> None:
    cells = " | ".join(units.seconds(v) for v in (stats.median(seconds), min(seconds), max(seconds)))
    print(f"| {name} | {cells} |", file=sys.stderr)


if __name__ == "__main__":
    main()
