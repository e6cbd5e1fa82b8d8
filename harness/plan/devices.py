"""Named devices: their datasheets, and the fastest matrix products that anyone has published for them.

The peaks are dense and as the vendor prints them, because published utilisations divide by those. MAMF is the "maximum achievable matmul FLOPS" that a
search over shapes found (stas00/ml-engineering, compute/accelerator/README.md). No training step is faster on that software; later software may be.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache

from harness.cost.datasheets import GIB, Gpu, lookup, nvidia
from harness.errors import UsageError

_TABLE = "stas00/ml-engineering, compute/accelerator/README.md"
MAMF_SOURCE = f"{_TABLE}, table of maximum achievable matmul FLOPS"

DTYPES = {
    "fp64": "float64", "double": "float64", "fp32": "float32", "single": "float32", "float": "float32",
    "bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp8": "float8_e4m3fn", "float8": "float8_e4m3fn",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Device:
    """One product: dense peaks in FLOP/s and published best matrix products by dtype, memory in bytes and bytes/s.

    `taken` is a remark, where a name that fits several products was read as this one.
    """

    name: str
    peaks: Mapping[str, float]
    memory_bytes: int
    bytes_per_second: float
    source: str
    mamf: Mapping[str, float] = field(default_factory=dict)
    taken: str = ""

    def peak(self, dtype: str) -> float:
        """The dense peak of a dtype, under its own or its short name.

        >>> device("A100").peak("bf16")
        312000000000000.0
        """
        known = self.peaks.get(DTYPES.get(dtype, dtype))
        if known is None:
            raise UsageError(f"dtype {dtype!r}: {self.name} has peaks for {', '.join(sorted(self.peaks))}")
        return known

    def achievable(self, dtype: str) -> float | None:
        """The best published matrix product of a dtype in FLOP/s; None where the table has none."""
        return self.mamf.get(DTYPES.get(dtype, dtype))


def _half(rate: float, fp8: float | None = None) -> dict[str, float]:
    both = {"bfloat16": rate, "float16": rate}
    return both if fp8 is None else both | {"float8_e4m3fn": fp8}


def _other(name: str, peaks: Mapping[str, float], gigabytes: int, rate: float, mamf: float) -> Device:
    return Device(
        name=name,
        peaks=peaks,
        memory_bytes=gigabytes * GIB,
        bytes_per_second=rate,
        source=f"{_TABLE}, tables of TFLOPS and of memory",
        mamf={"bfloat16": mamf},
    )


# Measured with bfloat16 inputs; the hardware runs float16 at the same rate, but nobody published a measurement.
_MAMF: dict[str, dict[str, float]] = {
    "A100 SXM4 40GB": {"bfloat16": 271.2e12},
    "A100 SXM4 80GB": {"bfloat16": 271.2e12},
    "A100 PCIe 40GB": {"bfloat16": 252.9e12},
    "A100 PCIe 80GB": {"bfloat16": 252.9e12},
    "H100 SXM5 80GB": {"bfloat16": 794.5e12, "float8_e4m3fn": 1402.6e12},
    "GH200 144GB": {"bfloat16": 828.6e12, "float8_e4m3fn": 1535.0e12},
    "B200": {"bfloat16": 1745.0e12},
}
# That table rounds MI300X and MI325X: AMD prints 1307 for 1300.
_OTHERS = (
    _other("Gaudi 2", {"bfloat16": 432e12, "float8_e4m3fn": 865e12}, 96, 2.46e12, 419e12),
    _other("MI300X", {"float32": 163.4e12, **_half(1300e12, 2600e12)}, 192, 5.3e12, 668.4e12),
    _other("MI325X", {"float32": 163.4e12, **_half(1300e12, 2600e12)}, 256, 6.0e12, 784.9e12),
    _other("MI355X", _half(2300e12, 4600e12), 288, 8.0e12, 1565e12),
)


def _of(gpu: Gpu) -> Device:
    computed = {dtype: gpu.flops_per_second(dtype) for dtype in gpu.flops_per_clock_per_sm}
    peaks = {dtype: rate for dtype, rate in computed.items() if rate is not None}
    printed = {dtype: rate for dtype, rate in gpu.published.items() if dtype in peaks}
    return Device(
        name=gpu.name,
        peaks=peaks | printed,
        memory_bytes=gpu.memory_bytes,
        bytes_per_second=gpu.published.get("bytes_per_second", gpu.bytes_per_second),
        source=gpu.source,
        mamf=_MAMF.get(gpu.name, {}),
    )


@cache
def devices() -> tuple[Device, ...]:
    """Every device with a datasheet."""
    return (*map(_of, nvidia()), *_OTHERS)


_VENDORS = {"nvidia", "amd", "intel", "tesla", "geforce", "instinct", "habana", "gpu"}


def device(name: str) -> Device:
    """The device of a product name, of a driver's name, or of any unambiguous part of one.

    A family alone ("A100", "H100 80GB") is its SXM board with the most memory, and `taken` remarks it.

    Raises:
        UsageError: no device fits, or several fit and none is an SXM board; the text has the closest names.

    >>> device("H100").name, device("a100 pcie 40g").name, device("3090").name, device("NVIDIA H100 80GB HBM3").name
    ('H100 SXM5 80GB', 'A100 PCIe 40GB', 'GeForce RTX 3090', 'H100 SXM5 80GB')
    """
    by_driver = lookup(name)
    if by_driver is not None:
        return next(known for known in devices() if known.name == by_driver.name)
    words = _words(name)
    exact = [known for known in devices() if words in _spellings(known)]
    fits = exact or [known for known in devices() if words and _all_in(words, known)]
    if len(fits) == 1:
        return fits[0]
    boards = [known for known in fits if any(word.startswith("sxm") for word in _words(known.name))]
    if not boards:
        raise UsageError(f"--on {' '.join(name.split())[:60]!r}: {_closest(name, fits)}")
    best = max(boards, key=lambda known: known.memory_bytes)
    others = ", ".join(known.name for known in fits if known is not best)
    return replace(best, taken=f"{name.strip()} is taken as {best.name}; it could be {others}")


def _words(name: str) -> frozenset[str]:
    split = re.sub(r"(sxm\d*|pcie|nvl)", r" \1 ", name.casefold())
    split = re.sub(r"\b(\d+)\s?g(?:i?b)?\b", r"\1gb", split)
    split = re.sub(r"\b(gaudi|mi)[\s-]?(\d)", r"\1\2", split)
    return frozenset(re.findall(r"[a-z0-9]+", split)) - _VENDORS


def _spellings(known: Device) -> list[frozenset[str]]:
    own = _words(known.name)
    by_driver = next((gpu.driver_names for gpu in nvidia() if gpu.name == known.name), ())
    names = [own, *map(_words, by_driver)]
    return [*names, own - {"rtx"}] if known.name.startswith("GeForce") else names


def _all_in(words: frozenset[str], known: Device) -> bool:
    """Whether each word is in some spelling of the device; "sxm" is any generation of it."""
    spelled = frozenset[str]().union(*_spellings(known))
    return all(
        word in spelled or (word == "sxm" and any(own.startswith("sxm") for own in spelled)) for word in words
    )


def _closest(name: str, fits: list[Device]) -> str:
    if fits:
        return f"matches several devices: {', '.join(known.name for known in fits)}"
    words = _words(name)
    shared = [known.name for known in devices() if words & _words(known.name)]
    folded = {known.name.casefold(): known.name for known in devices()}
    near = get_close_matches(" ".join(sorted(words)), folded, n=5, cutoff=0.5)
    closest = list(dict.fromkeys([folded[spelling] for spelling in near] + shared))[:6]
    if closest:
        return f"not in the table of devices; the closest are {', '.join(closest)}"
    return f"not in the table of devices; it has {', '.join(known.name for known in devices())}"
