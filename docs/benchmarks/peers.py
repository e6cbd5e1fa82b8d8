"""Compare the measured peaks with likwid-bench (Debian: likwid), interleaved in one run.

    python docs/benchmarks/peers.py > results/reference/benchmarks/peers.json

The table goes to standard error.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable

from harness.measure.openmp import bound_spinning

bound_spinning()

import torch  # noqa: E402

from harness import stats  # noqa: E402
from harness.measure.devices.cpu import Cpu  # noqa: E402
from harness.measure.peaks import microkernel  # noqa: E402
from harness.measure.peaks.bandwidth import best_stream  # noqa: E402
from harness.measure.timer import Timer  # noqa: E402

ROUNDS = 5
# Working sets for torch's streams: in the shared cache and in main memory.
SIZES = {"16 MiB a thread": 2**24, "512 MiB a thread": 2**29}
KERNELS = {
    "read": ("load_avx512",),
    "copy": ("copy_avx512",),
    "triad": ("stream_sp_avx512_fma", "stream_avx512_fma"),
}


def likwid(kernel: str, total_bytes: int, threads: int, unit: str) -> float:
    """Runs likwid-bench for at least a second and returns its rate in base units per second."""
    size = f"{total_bytes // 1000}kB"
    command = ["likwid-bench", "-s", "1", "-t", kernel, "-w", f"S0:{size}:{threads}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(rf"^{unit}:\s+([\d.]+)", output, re.MULTILINE)
    if rate is None:
        raise SystemExit(f"{' '.join(command)}: no line {unit} in the output:\n{output}")
    return float(rate[1]) * 1e6


def main() -> None:
    kernel = next(k for k in microkernel.kernels() if k.name == "fma-float32-avx512")
    rounds: dict[str, dict[str, list[float]]] = {}

    def note(quantity: str, tool: str, rate: float) -> None:
        rounds.setdefault(quantity, {}).setdefault(tool, []).append(rate)

    for _ in range(ROUNDS):
        for threads in (1, 2):
            note(
                f"float32 FMA, {threads} threads",
                "plumbline",
                microkernel.peak(kernel, threads).per_second,
            )
            peak = likwid("peakflops_sp_avx512_fma", 32_000 * threads, threads, "MFlops/s")
            note(f"float32 FMA, {threads} threads", "likwid-bench", peak)
        reads(note)
        bandwidths(note)
    json.dump(rounds, sys.stdout, indent=1)
    for quantity, tools in rounds.items():
        best = {name: max(values) for name, values in tools.items()}
        ratio = best["plumbline"] / best["likwid-bench"] - 1
        cells = [
            f"{best[n] / 1e9:.1f} ({stats.median(tools[n]) / 1e9:.1f})" for n in ("plumbline", "likwid-bench")
        ]
        print(f"| {quantity} | {' | '.join(cells)} | {100 * ratio:+.1f}% |", file=sys.stderr)


def reads(note: Callable[[str, str, float], None]) -> None:
    loop = microkernel.reader()
    for label, size in (("24 KiB", 24 * 2**10), ("1 MiB", 2**20), ("16 MiB", 2**24)):
        for threads in (1, 2):
            rate = microkernel.bandwidth(loop, size, threads).per_second
            note(f"read, {label} a thread, {threads} threads", "plumbline", rate)
            peer = likwid("load_avx512", size * threads, threads, "MByte/s")
            note(f"read, {label} a thread, {threads} threads", "likwid-bench", peer)


def bandwidths(note: Callable[[str, str, float], None]) -> None:
    device = Cpu()
    timer = Timer(device)
    for label, size in SIZES.items():
        total = size * device.threads
        memory = torch.ones(total // 4)
        ours = max((best_stream(timer, memory) for _ in range(3)), key=lambda s: s.bytes_per_second)
        note(f"best of torch's streams, {label}", "plumbline", ours.bytes_per_second)
        peers = [likwid(names[0], total, device.threads, "MByte/s") for names in KERNELS.values()]
        note(f"best of torch's streams, {label}", "likwid-bench", max(peers))


if __name__ == "__main__":
    main()
