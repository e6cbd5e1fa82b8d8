"""How long the commands take that people wait for.

    python docs/benchmarks/commands.py > results/reference/benchmarks/commands.json
The table goes to standard error. Needs one run under results/.
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
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for arguments in COMMANDS:
            begun = time.perf_counter()
            subprocess.run(["plumbline", *arguments], capture_output=True, check=False)
            found.setdefault(" ".join(arguments), []).append(time.perf_counter() - begun)
    json.dump(found, sys.stdout, indent=1)
    for command, values in found.items():
        cells = " | ".join(units.seconds(v) for v in (stats.median(values), min(values), max(values)))
        print(f"| `plumbline {command}` | {cells} |", file=sys.stderr)


if __name__ == "__main__":
    main()
