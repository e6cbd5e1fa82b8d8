"""The kernels, and which of them this machine runs."""

import ctypes
import functools
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from harness.measure.peaks.microkernel import executable
from harness.measure.peaks.microkernel import executable as features

# Dependent instructions in one iteration of a chain.
CHAIN_LENGTH: Final = 64

ADD_CHAIN: Final = bytes.fromhex(
    "4889f04885ff7538e9fc000000cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
    "cccccccccccccccccccccccccccc4801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d0"
    "4801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801"
    "d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d048"
    "01d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d04801d0"
    "4801d04801d048ffcf0f8537ffffffc3"
)

IMUL_CHAIN: Final = bytes.fromhex(
    "4889f04885ff7538e93c010000cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
    "cccccccccccccccccccccccccccc480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2"
    "480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480f"
    "afc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2"
    "480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480f"
    "afc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2480fafc2"
    "480fafc2480fafc2480fafc2480fafc2480fafc248ffcf0f85f7feffffc3"
)

FMA_FLOAT32_AVX2: Final = bytes.fromhex(
    "b80000803fc5f96ec0c4627d58f8c5fdefc0c5f5efc9c5edefd2c5e5efdbc5ddefe4c5d5efedc5cdeff6c5c5efffc4413def"
    "c0c44135efc9c4412defd2c44125efdb4885ff7539eb78cccccccccccccccccccccccccccccccccccccccccccccccccccccc"
    "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccc4c205b8c7c4c205b8cfc4c205b8d7c4c205b8dfc4c2"
    "05b8e7c4c205b8efc4c205b8f7c4c205b8ffc44205b8c7c44205b8cfc44205b8d7c44205b8df48ffcf75bfc5fc1106c5fc11"
    "4e20c5fc115640c5fc115e60c5fc11a680000000c5fc11aea0000000c5fc11b6c0000000c5fc11bee0000000c57c11860001"
    "0000c57c118e20010000c57c119640010000c57c119e60010000c5f877c3"
)

FMA_FLOAT32_AVX512: Final = bytes.fromhex(
    "b80000803fc5f96ec062627d4858f862f17d48efc062f17548efc962f16d48efd262f16548efdb62f15d48efe462f15548ef"
    "ed62f14d48eff662f14548efff62513d48efc062513548efc962512d48efd262512548efdb62511d48efe462511548efed62"
    "510d48eff662510548efff62a17d40efc062a17540efc962a16d40efd262a16540efdb62a15d40efe462a15540efed62a14d"
    "40eff662a14540efff4885ff751ce9b0000000cccccccccccccccccccccccccccccccccccccccccccccc62920540b8c76292"
    "0540b8cf62920540b8d762920540b8df62920540b8e762920540b8ef62920540b8f762920540b8ff62120540b8c762120540"
    "b8cf62120540b8d762120540b8df62120540b8e762120540b8ef62120540b8f762120540b8ff62820540b8c762820540b8cf"
    "62820540b8d762820540b8df62820540b8e762820540b8ef62820540b8f762820540b8ff48ffcf0f8567ffffff62f17c4811"
    "0662f17c48114e0162f17c4811560262f17c48115e0362f17c4811660462f17c48116e0562f17c4811760662f17c48117e07"
    "62717c4811460862717c48114e0962717c4811560a62717c48115e0b62717c4811660c62717c48116e0d62717c4811760e62"
    "717c48117e0f62e17c4811461062e17c48114e1162e17c4811561262e17c48115e1362e17c4811661462e17c48116e1562e1"
    "7c4811761662e17c48117e17c5f877c3"
)

DOT_BFLOAT16_AVX512: Final = bytes.fromhex(
    "b8803f803fc5f96ec062627d4858f862f17d48efc062f17548efc962f16d48efd262f16548efdb62f15d48efe462f15548ef"
    "ed62f14d48eff662f14548efff62513d48efc062513548efc962512d48efd262512548efdb62511d48efe462511548efed62"
    "510d48eff662510548efff62a17d40efc062a17540efc962a16d40efd262a16540efdb62a15d40efe462a15540efed62a14d"
    "40eff662a14540efff4885ff751ce9b0000000cccccccccccccccccccccccccccccccccccccccccccccc6292064052c76292"
    "064052cf6292064052d76292064052df6292064052e76292064052ef6292064052f76292064052ff6212064052c762120640"
    "52cf6212064052d76212064052df6212064052e76212064052ef6212064052f76212064052ff6282064052c76282064052cf"
    "6282064052d76282064052df6282064052e76282064052ef6282064052f76282064052ff48ffcf0f8567ffffff62f17c4811"
    "0662f17c48114e0162f17c4811560262f17c48115e0362f17c4811660462f17c48116e0562f17c4811760662f17c48117e07"
    "62717c4811460862717c48114e0962717c4811560a62717c48115e0b62717c4811660c62717c48116e0d62717c4811760e62"
    "717c48117e0f62e17c4811461062e17c48114e1162e17c4811561262e17c48115e1362e17c4811661462e17c48116e1562e1"
    "7c4811761662e17c48117e17c5f877c3"
)

FMA_FLOAT16_AVX512: Final = bytes.fromhex(
    "b8003c003cc5f96ec062627d4858f862f17d48efc062f17548efc962f16d48efd262f16548efdb62f15d48efe462f15548ef"
    "ed62f14d48eff662f14548efff62513d48efc062513548efc962512d48efd262512548efdb62511d48efe462511548efed62"
    "510d48eff662510548efff62a17d40efc062a17540efc962a16d40efd262a16540efdb62a15d40efe462a15540efed62a14d"
    "40eff662a14540efff4885ff751ce9b0000000cccccccccccccccccccccccccccccccccccccccccccccc62960540b8c76296"
    "0540b8cf62960540b8d762960540b8df62960540b8e762960540b8ef62960540b8f762960540b8ff62160540b8c762160540"
    "b8cf62160540b8d762160540b8df62160540b8e762160540b8ef62160540b8f762160540b8ff62860540b8c762860540b8cf"
    "62860540b8d762860540b8df62860540b8e762860540b8ef62860540b8f762860540b8ff48ffcf0f8567ffffff62f17c4811"
    "0662f17c48114e0162f17c4811560262f17c48115e0362f17c4811660462f17c48116e0562f17c4811760662f17c48117e07"
    "62717c4811460862717c48114e0962717c4811560a62717c48115e0b62717c4811660c62717c48116e0d62717c4811760e62"
    "717c48117e0f62e17c4811461062e17c48114e1162e17c4811561262e17c48115e1362e17c4811661462e17c48116e1562e1"
    "7c4811761662e17c48117e17c5f877c3"
)

TILE_BFLOAT16_AMX: Final = bytes.fromhex(
    "c4e2784905f7000000488d053001000031c9c4e27b4b3408c4e27b4b3c08c4e27b49c0c4e27b49c8c4e27b49d0c4e27b49d8"
    "c4e27b49e0c4e27b49e84885ff753feb60cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
    "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccc4e2425cc6c4e2425ccec4e2425cd6c4e2425cdec4e2"
    "425ce6c4e2425cee48ffcf75ddb940000000c4e27a4b040ec4e27a4b8c0e00040000c4e27a4b940e00080000c4e27a4b9c0e"
    "000c0000c4e27a4ba40e00100000c4e27a4bac0e00140000c4e27849c0c3cccccccccccccccccccccccccccccccccccccccc"
    "cccccccccccc0100000000000000000000000000000040004000400040004000400040004000000000000000000000000000"
    "0000000010101010101010100000000000000000803f803f803f803f803f803f803f803f803f803f803f803f803f803f803f"
    "803f803f803f803f803f803f803f803f803f803f803f803f803f803f803f803f803f"
)

READ_AVX2: Final = bytes.fromhex(
    "c5fdefc0c5f5efc9c5edefd2c5e5efdbc5ddefe4c5d5efedc5cdeff6c5c5efffc4413defc0c44135efc9c4412defd2c44125"
    "efdbc4411defe4c44115efedc4410deff6c44105efff4801f24885ff7530e9b6000000cccccccccccccccccccccccccccccc"
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccc4889f1c5fdd401c5f5d44920c5edd45140c5e5d45960"
    "c5ddd4a180000000c5d5d4a9a0000000c5cdd4b1c0000000c5c5d4b9e0000000c53dd48100010000c535d48920010000c52d"
    "d49140010000c525d49960010000c51dd4a180010000c515d4a9a0010000c50dd4b1c0010000c505d4b9e00100004881c100"
    "0200004839d1728148ffcf0f8575ffffffc5fdd4c1c5fdd4c2c5fdd4c3c5fdd4c4c5fdd4c5c5fdd4c6c5fdd4c7c4c17dd4c0"
    "c4c17dd4c1c4c17dd4c2c4c17dd4c3c4c17dd4c4c4c17dd4c5c4c17dd4c6c4c17dd4c7c4e37d39c101c5f9d4c1c4e3f916c0"
    "01c4e1f97ec14801c8c5f877c3"
)

READ_AVX512: Final = bytes.fromhex(
    "62f17d48efc062f17548efc962f16d48efd262f16548efdb62f15d48efe462f15548efed62f14d48eff662f14548efff6251"
    "3d48efc062513548efc962512d48efd262512548efdb62511d48efe462511548efed62510d48eff662510548efff4801f248"
    "85ff7518e99a000000cccccccccccccccccccccccccccccccccccccc4889f162f1fd48d40162f1f548d4490162f1ed48d451"
    "0262f1e548d4590362f1dd48d4610462f1d548d4690562f1cd48d4710662f1c548d479076271bd48d441086271b548d44909"
    "6271ad48d4510a6271a548d4590b62719d48d4610c62719548d4690d62718d48d4710e62718548d4790f4881c10004000048"
    "39d1728548ffcf0f8579ffffff62f1fd48d4c162f1fd48d4c262f1fd48d4c362f1fd48d4c462f1fd48d4c562f1fd48d4c662"
    "f1fd48d4c762d1fd48d4c062d1fd48d4c162d1fd48d4c262d1fd48d4c362d1fd48d4c462d1fd48d4c562d1fd48d4c662d1fd"
    "48d4c762f3fd483bc101c5fdd4c1c4e37d39c101c5f9d4c1c4e3f916c001c4e1f97ec14801c8c5f877c3"
)


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
        """Runs `iterations` (0 to 2**64 - 1) and leaves the accumulators in `memory`."""
        executable.kernel_function(self.code)(iterations, ctypes.addressof(memory))

    def count(self, iterations: int) -> tuple[float, ...]:
        """The accumulators after a number of iterations: their sum is the number of multiply-adds.

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
        code=FMA_FLOAT32_AVX2,
    ),
    Kernel(
        name="fma-float32-avx512",
        dtype="float32",
        isa="AVX-512",
        flags=("avx512f",),
        accumulators=_AVX512_FLOATS,
        accumulator_format="f",
        multiply_adds=1,
        code=FMA_FLOAT32_AVX512,
    ),
    Kernel(
        name="dot-bfloat16-avx512",
        dtype="bfloat16",
        isa="AVX512_BF16",
        flags=("avx512f", "avx512_bf16"),
        accumulators=_AVX512_FLOATS,
        accumulator_format="f",
        multiply_adds=2,
        code=DOT_BFLOAT16_AVX512,
    ),
    Kernel(
        name="fma-float16-avx512",
        dtype="float16",
        isa="AVX512_FP16",
        flags=("avx512f", "avx512_fp16"),
        accumulators=2 * _AVX512_FLOATS,
        accumulator_format="e",
        multiply_adds=1,
        code=FMA_FLOAT16_AVX512,
    ),
    Kernel(
        name="tile-bfloat16-amx",
        dtype="bfloat16",
        isa="AMX_BF16",
        flags=("amx_tile", "amx_bf16"),
        accumulators=_TILE_FLOATS,
        accumulator_format="f",
        multiply_adds=32,
        code=TILE_BFLOAT16_AMX,
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
