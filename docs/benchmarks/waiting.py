"""Time small products under each policy of how OpenMP threads wait, quiet and with background load.

    python docs/benchmarks/waiting.py > results/reference/benchmarks/waiting.json

The table goes to standard error.
"""

import json
import os
import subprocess
import sys

ROUNDS = 3
POLICIES = {
    "libgomp's default": {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 10000 (Plumbline)": {"GOMP_SPINCOUNT": "10000"},
}
CALL = """
import json, time, torch
torch.set_num_threads(2)
medians = {}
for n in (64, 128, 256, 512):
    a, b = torch.randn(n, n), torch.randn(n, n)
    c = torch.empty(n, n)
    times, until = [], time.perf_counter() + 0.5
    while time.perf_counter() < until:
        start = time.perf_counter()
        torch.mm(a, b, out=c)
        times.append(time.perf_counter() - start)
    times.sort()
    medians[n] = times[len(times) // 2]
print(json.dumps(medians))
"""


def main() -> None:
    medians: dict[str, dict[str, list[float]]] = {}
    for programs in (0, 1, 2):
        loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
        try:
            for _ in range(ROUNDS):
                for policy, variables in POLICIES.items():
                    command = [sys.executable, "-c", CALL]
                    output = subprocess.run(
                        command, env=os.environ | variables, capture_output=True, text=True, check=True
                    )
                    for n, median in json.loads(output.stdout).items():
                        key = f"{programs} other program{'' if programs == 1 else 's'}, {policy}"
                        medians.setdefault(key, {}).setdefault(n, []).append(median)
        finally:
            for load in loads:
                load.kill()
    json.dump(medians, sys.stdout, indent=1)
    for key, sizes in medians.items():
        cells = [f"{min(v) * 1e6:.1f} to {max(v) * 1e6:.1f} µs" for v in sizes.values()]
        print(f"| {key} | {' | '.join(cells)} |", file=sys.stderr)


if __name__ == "__main__":
    main()
