"""Time the commands that a user waits for.

    python docs/benchmarks/commands.py > results/reference/benchmarks/commands.json

The table goes to standard error. At least one run must exist in `results`.
"""

import json
import subprocess
import sys
import time

from harness import stats, units

ROUNDS = 9
COMMANDS = (
    ["--help"],
    ["report", "latest"],
    ["check", "latest"],
    ["plan", "llama-2-7b"],
    ["history", "matmul-float32-m512-n512-k512"],
    ["list"],
    ["env"],
)


def main() -> None:
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for arguments in COMMANDS:
            start = time.perf_counter()
            subprocess.run(["plumbline", *arguments], capture_output=True, check=False)
            seconds.setdefault(" ".join(arguments), []).append(time.perf_counter() - start)
    json.dump(seconds, sys.stdout, indent=1)
    for command, values in seconds.items():
        cells = " | ".join(units.seconds(v) for v in (stats.median(values), min(values), max(values)))
        print(f"| `plumbline {command}` | {cells} |", file=sys.stderr)


if __name__ == "__main__":
    main()
