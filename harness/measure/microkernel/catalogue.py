"""The kernels, and which of them this machine runs."""

import ctypes
import functools
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harness.measure.microkernel import executable, features, x86_64

# Few enough for float16, which counts exactly up to 2048.
_PROOF_ITERATIONS = 3


@dataclass(frozen=True)
class Kernel:
    """A loop of independent multiply-adds in registers: it loads nothing, so only the arithmetic limits it.

    1 multiply-add = 2 FLOPs. Every iteration adds `multiply_adds` products 1 x 1 to each of
    `accumulators` numbers that start at zero.
    """

    name: str
    dtype: str
    isa: str
    flags: tuple[str, ...]
    """The flags of /proc/cpuinfo it needs."""
    accumulators: int
    accumulator_format: str
    """As in `struct`: "f" for float32, "e" for float16."""
    multiply_adds: int
    code: bytes = field(repr=False)

    @property
    def flops_per_iteration(self) -> int:
        """FLOPs of one turn of the loop."""
        return 2 * self.multiply_adds * self.accumulators

    def memory(self) -> ctypes.Array[ctypes.c_char]:
        """New memory for the accumulators of one thread."""
        return ctypes.create_string_buffer(struct.calcsize(self._layout))

    def run(self, iterations: int, memory: ctypes.Array[ctypes.c_char]) -> None:
        """Runs so many iterations (0 to 2**64 - 1) and leaves the accumulators in `memory`."""
        executable.kernel_function(self.code)(iterations, ctypes.addressof(memory))

    def count(self, iterations: int) -> tuple[float, ...]:
        """The accumulators after so many iterations: together the number of multiply-adds done.

        That holds while each can count in ones (up to 2**24 in float32, 2048 in float16); from there on
        they stand still, at the same speed.
        """
        memory = self.memory()
        self.run(iterations, memory)
        return struct.unpack(self._layout, memory.raw)

    @property
    def _layout(self) -> str:
        return f"<{self.accumulators}{self.accumulator_format}"


_AVX2_FLOATS = 12 * 8
_AVX512_FLOATS = 24 * 16
_TILE_FLOATS = 6 * 16 * 16

ALL: tuple[Kernel, ...] = (
    Kernel(
        name="fma-float32-avx2",
        dtype="float32",
        isa="AVX2",
        flags=("avx", "avx2", "fma"),
        accumulators=_AVX2_FLOATS,
        accumulator_format="f",
        multiply_adds=1,
        code=x86_64.FMA_FLOAT32_AVX2,
    ),
    Kernel(
        name="fma-float32-avx512",
        dtype="float32",
        isa="AVX-512",
        flags=("avx512f",),
        accumulators=_AVX512_FLOATS,
        accumulator_format="f",
        multiply_adds=1,
        code=x86_64.FMA_FLOAT32_AVX512,
    ),
    Kernel(
        name="dot-bfloat16-avx512",
        dtype="bfloat16",
        isa="AVX512_BF16",
        flags=("avx512f", "avx512_bf16"),
        accumulators=_AVX512_FLOATS,
        accumulator_format="f",
        multiply_adds=2,
        code=x86_64.DOT_BFLOAT16_AVX512,
    ),
    Kernel(
        name="fma-float16-avx512",
        dtype="float16",
        isa="AVX512_FP16",
        flags=("avx512f", "avx512_fp16"),
        accumulators=2 * _AVX512_FLOATS,
        accumulator_format="e",
        multiply_adds=1,
        code=x86_64.FMA_FLOAT16_AVX512,
    ),
    Kernel(
        name="tile-bfloat16-amx",
        dtype="bfloat16",
        isa="AMX_BF16",
        flags=("amx_tile", "amx_bf16"),
        accumulators=_TILE_FLOATS,
        accumulator_format="f",
        multiply_adds=32,
        code=x86_64.TILE_BFLOAT16_AMX,
    ),
)


def kernels() -> tuple[Kernel, ...]:
    """The kernels this machine runs, each having just counted right; empty where none does."""
    refusals = unusable()
    return tuple(kernel for kernel in ALL if kernel.name not in refusals)


@functools.cache
def unusable() -> Mapping[str, str]:
    """Why this machine does not run the others, by kernel name."""
    reasons = {kernel.name: _refusal(kernel) for kernel in ALL}
    return MappingProxyType({name: reason for name, reason in reasons.items() if reason is not None})


def _refusal(kernel: Kernel) -> str | None:
    """Why the kernel must not run here. Asks about tiles only where the CPU has them."""
    reason = executable.unavailable_reason()
    if reason is not None:
        return reason
    missing = [flag for flag in kernel.flags if flag not in features.flags_here()]
    if missing:
        return f"the CPU, or Linux on it, lacks {', '.join(missing)}"
    if "amx_tile" in kernel.flags and (reason := features.tiles_refused()) is not None:
        return reason
    try:
        counted = sum(kernel.count(_PROOF_ITERATIONS))
    except OSError as error:
        return f"no executable memory: {error}"
    wanted = _PROOF_ITERATIONS * kernel.flops_per_iteration // 2
    return None if counted == wanted else f"it did {counted:.0f} multiply-adds of {wanted}"
