"""The datasheet level of the peak hierarchy: what a GPU should reach by its vendor's own numbers.

    peak      = SMs x clock x FLOP per clock per SM      dense, never the 2:4 sparsity figure
    bandwidth = data rate per memory pin x bus width / 8

The clock is that of the vendor's printed figure. It is not a bound: a GeForce boosts above it, and an
H100 may run its tensor cores at up to 1980 MHz where the figure assumes 1830. It is not a promise
either: a power limit holds most boards below it. The next level of the hierarchy, the clock-true peak,
uses the clock at which the silicon really ran.

A device that is not in the table (`datasheets.toml`) gets None, and with it no MFU. The peak of another
device is never used instead: a wrong peak is worse than none.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

MIB = 2**20
GIB = 2**30

# The dtypes that follow the tensor-core clock. Double precision does not, though it has tensor cores
# of its own: the H100 whitepaper v1.04 gives those the clock of the vector units.
_TENSOR_DTYPES = frozenset({"tf32", "bfloat16", "float16", "float8_e4m3fn"})
# The driver reports less memory than the board carries: ECC on GDDR6 takes 1/16, the driver some more.
# The largest difference seen is 9.0% (T4: 14.56 of 16 GiB); a MIG slice has half or less.
_MEMORY_TOLERANCE = 0.10


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One product, in base units: hertz, bits, bytes, FLOP/s.

    `boost_hertz` and `tensor_boost_hertz` are the clocks of the printed figures, for the vector units
    and for the tensor cores. `flops_per_clock_per_sm` is dense, a multiply-add counts 2, and 16 and
    8 bit products accumulate in 32 bits, as torch's matrix products do. "float32" is the rate of the
    CUDA cores, "tf32" that of the tensor cores, "float64" the faster of the two.
    `pin_bits_per_second` is the data rate of one memory pin. Memory sizes follow NVIDIA's use: a
    "GB" of memory is 2^30 bytes.

    `published` holds the dense figures that the document prints, by dtype, and "bytes_per_second" for
    memory. Where the document prints figures with 2:4 sparsity, `published_sparse` holds them as
    printed. Where it prints no others, `published` is their half and the note says so.
    """

    name: str
    driver_names: tuple[str, ...]
    sms: int
    boost_hertz: float
    tensor_boost_hertz: float
    flops_per_clock_per_sm: Mapping[str, int]
    pin_bits_per_second: float
    memory_bus_bits: int
    memory_bytes: int
    l2_bytes: int
    published: Mapping[str, float]
    source: str
    published_sparse: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def flops_per_second(self, dtype: str) -> float | None:
        """The dense peak of one dtype in FLOP/s: SMs x clock x FLOP per clock per SM.

        None where the device has no unit for that dtype.
        """
        rate = self.flops_per_clock_per_sm.get(dtype)
        if rate is None:
            return None
        clock = self.tensor_boost_hertz if dtype in _TENSOR_DTYPES else self.boost_hertz
        return self.sms * clock * rate

    @property
    def bytes_per_second(self) -> float:
        """The peak memory bandwidth in bytes/s: data rate per pin x bus width / 8."""
        return self.pin_bits_per_second * self.memory_bus_bits / 8


@cache
def nvidia() -> tuple[Gpu, ...]:
    """All rows of the table, by name; the file is read at the first call."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    rates = table["flops_per_clock_per_sm"]
    return tuple(_gpu(row, rates[row.pop("sm")]) for row in table["gpu"])


def _gpu(row: dict[str, Any], rates: Mapping[str, int]) -> Gpu:
    memory, l2 = row.pop("memory_gib"), row.pop("l2_mib")
    return Gpu(
        driver_names=tuple(row.pop("driver_names")),
        flops_per_clock_per_sm=rates,
        memory_bytes=memory * GIB,
        l2_bytes=int(l2 * MIB),
        **row,
    )


def lookup(name: str, *, sms: int | None = None, memory_bytes: int | None = None) -> Gpu | None:
    """The row of the device that the driver calls `name`; None where no row is about that device.

    Case, repeated spaces and a leading "NVIDIA" are ignored: drivers before release 470 leave the
    vendor out. The rest must be equal, so that a MIG slice ("... MIG 1g.10gb"), a laptop part or a
    new variant matches no row. The SM count must agree where given; the memory in bytes within 10%.

    >>> gpu = lookup("NVIDIA H100 80GB HBM3", sms=132)
    >>> gpu is not None and gpu.flops_per_second("bfloat16")
    989429760000000.0
    >>> lookup("NVIDIA H100 80GB HBM3", sms=16) is None
    True
    """
    wanted = _normalized(name)
    gpu = next((row for row in nvidia() if wanted in map(_normalized, row.driver_names)), None)
    if gpu is None or (sms is not None and sms != gpu.sms):
        return None
    if memory_bytes is not None and abs(memory_bytes / gpu.memory_bytes - 1.0) > _MEMORY_TOLERANCE:
        return None
    return gpu


def _normalized(name: str) -> str:
    return " ".join(name.casefold().split()).removeprefix("nvidia ")
