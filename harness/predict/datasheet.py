"""The datasheet rung of the ceiling ladder: what a GPU should reach by its vendor's own numbers.

    peak      = SMs x clock x FLOP per clock per SM      dense, never the 2:4 sparsity figure
    bandwidth = data rate per memory pin x bus width / 8

The clock is the one the vendor's printed figure is built on. It is neither a bound (a GeForce boosts
above it on its own, an H100 may run its tensor cores at up to 1980 MHz where the figure assumes 1830)
nor a promise (a power limit holds most boards below it): what the silicon can do at the clock it
really ran at is the next rung.

A device that is not in the table gets None, and with it no MFU. There is no fallback to another
device's number: a wrong peak is worse than none.
"""

from harness.predict.datasheet_nvidia import NVIDIA, Gpu

__all__ = ["Gpu", "lookup"]

# The driver shows less memory than the board carries: ECC on GDDR6 takes 1/16, the driver some more.
# The most seen is 9.0 % (T4: 14.56 of 16 GiB); a MIG slice has half or less.
_MEMORY_TOLERANCE = 0.10


def lookup(name: str, *, sms: int | None = None, memory_bytes: int | None = None) -> Gpu | None:
    """The row of the device that the driver calls `name`; None where no row is about that device.

    Case, repeated spaces and a leading "NVIDIA" are ignored: drivers before release 470 leave the
    vendor out. The rest must be equal, so a MIG slice ("... MIG 1g.10gb"), a laptop part or a
    new variant finds nothing. The SM count must agree where given; the memory in bytes within 10 %.

    >>> gpu = lookup("NVIDIA H100 80GB HBM3", sms=132)
    >>> gpu is not None and gpu.flops_per_second("bfloat16")
    989429760000000.0
    >>> lookup("NVIDIA H100 80GB HBM3", sms=16) is None
    True
    """
    wanted = _normalised(name)
    gpu = next((row for row in NVIDIA if wanted in map(_normalised, row.driver_names)), None)
    if gpu is None or (sms is not None and sms != gpu.sms):
        return None
    if memory_bytes is not None and abs(memory_bytes / gpu.memory_bytes - 1.0) > _MEMORY_TOLERANCE:
        return None
    return gpu


def _normalised(name: str) -> str:
    return " ".join(name.casefold().split()).removeprefix("nvidia ")
