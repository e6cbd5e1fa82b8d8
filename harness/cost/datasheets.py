"""The datasheet peak level of the peak peak hierarchy: what a GPU should reach by its vendor's own numbers.

    peak      = SMs x clock x FLOP per clock per SM      dense, never the 2:4 sparsity figure
    bandwidth = data rate per memory pin x bus width / 8

The clock is the one the vendor's printed figure is built on. It is neither a bound (a GeForce boosts
above it on its own, an H100 may run its tensor cores at up to 1980 MHz where the figure assumes 1830)
nor a promise (a power limit holds most boards below it): what the silicon can do at the clock it
really ran at is the next peak level.

A device that is not in the table gets None, and with it no MFU. There is no fallback to another
device's number: a wrong peak is worse than none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 2**20
GIB = 2**30

# The dtypes that follow the tensor-core clock. Double precision does not, though it has tensor cores
# of its own: the H100 whitepaper v1.04 gives those the clock of the vector units.
_TENSOR_DTYPES = frozenset({"tf32", "bfloat16", "float16", "float8_e4m3fn"})


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One product, in base units: hertz, bits, bytes, FLOP/s.

    `boost_hertz` and `tensor_boost_hertz` are the clocks the printed figures are built on, for the
    vector units and for the tensor cores. `flops_per_clock_per_sm` is dense, a multiply-add counts
    2, and 16 and 8 bit products accumulate in 32 bits, as torch's matrix products do. "float32" is
    the CUDA cores' rate, "tf32" the tensor cores', "float64" the faster of the two.
    `pin_bits_per_second` is the data rate of one memory pin. Memory sizes follow NVIDIA's use: a
    "GB" of memory is 2^30 bytes.

    `published` holds the dense figures the document prints, by dtype, and "bytes_per_second" for
    memory. Where the document prints figures with 2:4 sparsity, `published_sparse` has them as
    printed; where it prints no others, `published` is their half and the note says so.
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


# FLOP per clock per SM. The formatter is off from here on: a row reads best with one topic a line.
# fmt: off
# Volta whitepaper WP-08608-001: 64 FP32 and 32 FP64 cores, 8 tensor cores of 64 multiply-adds.
VOLTA = {"float64": 64, "float32": 128, "float16": 1024}
# Turing whitepaper WP-09183-001: as Volta, but 2 FP64 cores. TITAN, Quadro and Tesla boards only:
# GeForce boards accumulate in 32 bits at half this rate.
TURING = {"float64": 4, "float32": 128, "float16": 1024}
# A100 whitepaper: 4 tensor cores of 256 FP16, 128 TF32 and 16 FP64 multiply-adds.
AMPERE_GA100 = {"float64": 128, "float32": 128, "tf32": 1024, "bfloat16": 2048, "float16": 2048}
# GA102 whitepaper V2: 128 FP32 cores, 2 FP64 cores, 4 tensor cores of 128 FP16 multiply-adds.
AMPERE_GA10X = {"float64": 4, "float32": 256, "tf32": 512, "bfloat16": 1024, "float16": 1024}
# The same SM where accumulation in 32 bits is held to half rate: GeForce and A10G.
AMPERE_GA10X_HALF = {"float64": 4, "float32": 256, "tf32": 256, "bfloat16": 512, "float16": 512}
# Ada whitepaper v2.1 and RTX Blackwell whitepaper v1.1: GA10x plus FP8 at twice the FP16 rate.
ADA = {"float64": 4, "float32": 256, "tf32": 512, "bfloat16": 1024, "float16": 1024, "float8_e4m3fn": 2048}
# The same SM where accumulation in 32 bits is held to half rate: GeForce and L40.
ADA_HALF = {"float64": 4, "float32": 256, "tf32": 256, "bfloat16": 512, "float16": 512, "float8_e4m3fn": 1024}
# H100 whitepaper v1.04: twice the A100 rate of each kind, and FP8.
HOPPER = {
    "float64": 256, "float32": 256, "tf32": 2048, "bfloat16": 4096, "float16": 4096, "float8_e4m3fn": 8192,
}
# Twice the Hopper rate, but FP64 only as fast as its vector units.
BLACKWELL_GB100 = {
    "float64": 128, "float32": 256, "tf32": 4096, "bfloat16": 8192, "float16": 8192, "float8_e4m3fn": 16384,
}

_V100_SXM2 = {"float64": 7.8e12, "float32": 15.7e12, "float16": 125e12, "bytes_per_second": 900e9}
_V100_PCIE = {"float64": 7e12, "float32": 14e12, "float16": 112e12, "bytes_per_second": 900e9}
_V100_SOURCE = "NVIDIA V100 datasheet, January 2020; clocks: Volta whitepaper WP-08608-001 v1.1"
_TURING_SOURCE = "NVIDIA Turing GPU Architecture whitepaper WP-09183-001, 2018"
_A100 = {"float64": 19.5e12, "float32": 19.5e12, "tf32": 156e12, "bfloat16": 312e12, "float16": 312e12}
_GA102_SOURCE = "NVIDIA Ampere GA102 GPU Architecture whitepaper V2"
_ADA_SOURCE = "NVIDIA Ada GPU Architecture whitepaper v2.1, 2023"
_H100_SOURCE = "NVIDIA H100 Tensor Core GPU Architecture whitepaper v1.04"
_RTX_BLACKWELL_SOURCE = "NVIDIA RTX Blackwell GPU Architecture whitepaper v1.1, 2025, table 3"
_RTX_PRO_SOURCE = "NVIDIA RTX Blackwell PRO GPU Architecture whitepaper v1.0, 2025, appendix A"
_GH200_SOURCE = "NVIDIA GH200 Grace Hopper Superchip datasheet 2705455"
_GH200 = {
    "float64": 67e12, "float32": 67e12, "tf32": 494e12,
    "bfloat16": 990e12, "float16": 990e12, "float8_e4m3fn": 1979e12,
}
_HOPPER_NVL = {
    "float64": 60e12, "float32": 60e12, "tf32": 417.5e12,
    "bfloat16": 835.5e12, "float16": 835.5e12, "float8_e4m3fn": 1670.5e12,
}
_HOPPER_NVL_SPARSE = {"tf32": 835e12, "bfloat16": 1671e12, "float16": 1671e12, "float8_e4m3fn": 3341e12}
_HALVED = "The document prints tensor-core figures with 2:4 sparsity only; `published` is their half."
_NVL_CLOCK = "NVIDIA prints no tensor-core clock: 1545 MHz is the tensor-core figures turned round."

NVIDIA: tuple[Gpu, ...] = (
    Gpu(
        name="A10", driver_names=("NVIDIA A10",), sms=72,
        boost_hertz=1695e6, tensor_boost_hertz=1695e6, flops_per_clock_per_sm=AMPERE_GA10X,
        pin_bits_per_second=12.5e9, memory_bus_bits=384, memory_bytes=24 * GIB, l2_bytes=6 * MIB,
        published={
            "float32": 31.2e12, "tf32": 62.5e12, "bfloat16": 125e12, "float16": 125e12,
            "bytes_per_second": 600e9,
        },
        source="NVIDIA A10 Tensor Core GPU datasheet, 2021; clocks: A10 product brief",
    ),
    Gpu(
        name="A100 PCIe 40GB", driver_names=("NVIDIA A100-PCIE-40GB",), sms=108,
        boost_hertz=1410e6, tensor_boost_hertz=1410e6, flops_per_clock_per_sm=AMPERE_GA100,
        pin_bits_per_second=2.43e9, memory_bus_bits=5120, memory_bytes=40 * GIB, l2_bytes=40 * MIB,
        published=_A100 | {"bytes_per_second": 1555e9},
        source="NVIDIA A100 Tensor Core GPU datasheet 1758950 r4",
    ),
    Gpu(
        name="A100 PCIe 80GB", driver_names=("NVIDIA A100 80GB PCIe",), sms=108,
        boost_hertz=1410e6, tensor_boost_hertz=1410e6, flops_per_clock_per_sm=AMPERE_GA100,
        pin_bits_per_second=3.024e9, memory_bus_bits=5120, memory_bytes=80 * GIB, l2_bytes=40 * MIB,
        published=_A100 | {"bytes_per_second": 1935e9},
        source="NVIDIA A100 Tensor Core GPU datasheet 2188504; memory clock: product brief PB-10577-001",
    ),
    Gpu(
        name="A100 SXM4 40GB", driver_names=("NVIDIA A100-SXM4-40GB",), sms=108,
        boost_hertz=1410e6, tensor_boost_hertz=1410e6, flops_per_clock_per_sm=AMPERE_GA100,
        pin_bits_per_second=2.43e9, memory_bus_bits=5120, memory_bytes=40 * GIB, l2_bytes=40 * MIB,
        published=_A100 | {"bytes_per_second": 1555e9},
        source="NVIDIA A100 Tensor Core GPU Architecture whitepaper v1.0, 2020",
    ),
    Gpu(
        name="A100 SXM4 80GB", driver_names=("NVIDIA A100-SXM4-80GB",), sms=108,
        boost_hertz=1410e6, tensor_boost_hertz=1410e6, flops_per_clock_per_sm=AMPERE_GA100,
        pin_bits_per_second=3.186e9, memory_bus_bits=5120, memory_bytes=80 * GIB, l2_bytes=40 * MIB,
        published=_A100 | {"bytes_per_second": 2039e9},
        source="NVIDIA A100 Tensor Core GPU datasheet 2188504",
    ),
    Gpu(
        name="A10G", driver_names=("NVIDIA A10G",), sms=80,
        boost_hertz=1710e6, tensor_boost_hertz=1710e6, flops_per_clock_per_sm=AMPERE_GA10X_HALF,
        pin_bits_per_second=12.5e9, memory_bus_bits=384, memory_bytes=24 * GIB, l2_bytes=6 * MIB,
        published={
            "float32": 35e12, "tf32": 35e12, "bfloat16": 70e12, "float16": 70e12,
            "bytes_per_second": 600e9,
        },
        published_sparse={"tf32": 70e12, "bfloat16": 140e12, "float16": 140e12},
        source="NVIDIA A10G datasheet for AWS, 17 February 2022",
        note="Not an A10: more SMs, half the tensor-core rate.",
    ),
    Gpu(
        name="A30", driver_names=("NVIDIA A30",), sms=56,
        boost_hertz=1440e6, tensor_boost_hertz=1440e6, flops_per_clock_per_sm=AMPERE_GA100,
        pin_bits_per_second=2.43e9, memory_bus_bits=3072, memory_bytes=24 * GIB, l2_bytes=24 * MIB,
        published={
            "float64": 10.3e12, "float32": 10.3e12, "tf32": 82e12, "bfloat16": 165e12, "float16": 165e12,
            "bytes_per_second": 933e9,
        },
        published_sparse={"tf32": 165e12, "bfloat16": 330e12, "float16": 330e12},
        source="NVIDIA A30 Tensor Core GPU datasheet, 2021; clocks: A30 product brief",
    ),
    Gpu(
        name="A40", driver_names=("NVIDIA A40",), sms=84,
        boost_hertz=1740e6, tensor_boost_hertz=1740e6, flops_per_clock_per_sm=AMPERE_GA10X,
        pin_bits_per_second=14.5e9, memory_bus_bits=384, memory_bytes=48 * GIB, l2_bytes=6 * MIB,
        published={
            "float32": 37.4e12, "tf32": 74.8e12, "bfloat16": 149.7e12, "float16": 149.7e12,
            "bytes_per_second": 696e9,
        },
        published_sparse={"tf32": 149.6e12, "bfloat16": 299.4e12, "float16": 299.4e12},
        source="NVIDIA A40 datasheet 1469711 r8; clocks: GA102 whitepaper V2",
    ),
    Gpu(
        name="B200", driver_names=("NVIDIA B200",), sms=148,
        boost_hertz=1965e6, tensor_boost_hertz=1860e6, flops_per_clock_per_sm=BLACKWELL_GB100,
        pin_bits_per_second=7.992e9, memory_bus_bits=7680, memory_bytes=180 * GIB, l2_bytes=132_644_864,
        published={
            "float64": 37e12, "float32": 75e12, "tf32": 1125e12,
            "bfloat16": 2250e12, "float16": 2250e12, "float8_e4m3fn": 4500e12, "bytes_per_second": 7.7e12,
        },
        published_sparse={
            "tf32": 2250e12, "bfloat16": 4500e12, "float16": 4500e12, "float8_e4m3fn": 9000e12,
        },
        source=(
            "NVIDIA HGX platform page (HGX B200, an eighth of the 8 GPUs), October 2026; bandwidth: "
            "NVIDIA HGX B200 datasheet, 2026; SMs, clocks, bus and L2: as the driver reports them"
        ),
        note=(
            f"{_HALVED} NVIDIA prints no clock: 1860 MHz is the tensor-core figures turned round. The "
            "DGX B200 page rounds the bandwidth to 8 TB/s, which is a bus of 8192 bits; 7680 are enabled."
        ),
    ),
    Gpu(
        name="GeForce RTX 3090", driver_names=("NVIDIA GeForce RTX 3090",), sms=82,
        boost_hertz=1695e6, tensor_boost_hertz=1695e6, flops_per_clock_per_sm=AMPERE_GA10X_HALF,
        pin_bits_per_second=19.5e9, memory_bus_bits=384, memory_bytes=24 * GIB, l2_bytes=6 * MIB,
        published={
            "float32": 35.6e12, "tf32": 35.6e12, "bfloat16": 71e12, "float16": 71e12,
            "bytes_per_second": 936e9,
        },
        source=_GA102_SOURCE,
    ),
    Gpu(
        name="GeForce RTX 3090 Ti", driver_names=("NVIDIA GeForce RTX 3090 Ti",), sms=84,
        boost_hertz=1860e6, tensor_boost_hertz=1860e6, flops_per_clock_per_sm=AMPERE_GA10X_HALF,
        pin_bits_per_second=21e9, memory_bus_bits=384, memory_bytes=24 * GIB, l2_bytes=6 * MIB,
        published={
            "float32": 40e12, "tf32": 40e12, "bfloat16": 80e12, "float16": 80e12,
            "bytes_per_second": 1008e9,
        },
        source=_ADA_SOURCE,
    ),
    Gpu(
        name="GeForce RTX 4080", driver_names=("NVIDIA GeForce RTX 4080",), sms=76,
        boost_hertz=2505e6, tensor_boost_hertz=2505e6, flops_per_clock_per_sm=ADA_HALF,
        pin_bits_per_second=22.4e9, memory_bus_bits=256, memory_bytes=16 * GIB, l2_bytes=64 * MIB,
        published={
            "float32": 48.7e12, "tf32": 48.7e12, "bfloat16": 97.5e12, "float16": 97.5e12,
            "float8_e4m3fn": 194.9e12, "bytes_per_second": 716.8e9,
        },
        source=_ADA_SOURCE,
    ),
    Gpu(
        name="GeForce RTX 4090", driver_names=("NVIDIA GeForce RTX 4090",), sms=128,
        boost_hertz=2520e6, tensor_boost_hertz=2520e6, flops_per_clock_per_sm=ADA_HALF,
        pin_bits_per_second=21e9, memory_bus_bits=384, memory_bytes=24 * GIB, l2_bytes=72 * MIB,
        published={
            "float32": 82.6e12, "tf32": 82.6e12, "bfloat16": 165.2e12, "float16": 165.2e12,
            "float8_e4m3fn": 330.3e12, "bytes_per_second": 1008e9,
        },
        source=_ADA_SOURCE,
        note="FP8 with 32 bit accumulation was printed as 660.6 TFLOPS until whitepaper v2.02 mended it.",
    ),
    Gpu(
        name="GeForce RTX 5080", driver_names=("NVIDIA GeForce RTX 5080",), sms=84,
        boost_hertz=2617e6, tensor_boost_hertz=2617e6, flops_per_clock_per_sm=ADA_HALF,
        pin_bits_per_second=30e9, memory_bus_bits=256, memory_bytes=16 * GIB, l2_bytes=64 * MIB,
        published={
            "float32": 56.3e12, "tf32": 56.3e12, "bfloat16": 112.6e12, "float16": 112.6e12,
            "float8_e4m3fn": 225.1e12, "bytes_per_second": 960e9,
        },
        source=_RTX_BLACKWELL_SOURCE,
    ),
    Gpu(
        name="GeForce RTX 5090", driver_names=("NVIDIA GeForce RTX 5090",), sms=170,
        boost_hertz=2407e6, tensor_boost_hertz=2407e6, flops_per_clock_per_sm=ADA_HALF,
        pin_bits_per_second=28e9, memory_bus_bits=512, memory_bytes=32 * GIB, l2_bytes=96 * MIB,
        published={
            "float32": 104.8e12, "tf32": 104.8e12, "bfloat16": 209.5e12, "float16": 209.5e12,
            "float8_e4m3fn": 419e12, "bytes_per_second": 1792e9,
        },
        source=_RTX_BLACKWELL_SOURCE,
    ),
    Gpu(
        name="GH200 144GB", driver_names=("NVIDIA GH200 144G HBM3e",), sms=132,
        boost_hertz=1980e6, tensor_boost_hertz=1830e6, flops_per_clock_per_sm=HOPPER,
        pin_bits_per_second=6.402e9, memory_bus_bits=6144, memory_bytes=144 * GIB, l2_bytes=60 * MIB,
        published=_GH200 | {"bytes_per_second": 4.9e12},
        source=f"{_GH200_SOURCE}; clocks: H100 whitepaper v1.04; bus and L2: as the driver reports them",
    ),
    Gpu(
        # The number in the driver's name is the CPU's memory, not the GPU's.
        name="GH200 96GB", driver_names=("NVIDIA GH200 480GB", "NVIDIA GH200 120GB"), sms=132,
        boost_hertz=1980e6, tensor_boost_hertz=1830e6, flops_per_clock_per_sm=HOPPER,
        pin_bits_per_second=5.238e9, memory_bus_bits=6144, memory_bytes=96 * GIB, l2_bytes=60 * MIB,
        published=_GH200 | {"bytes_per_second": 4e12},
        source=f"{_GH200_SOURCE}; clocks: H100 whitepaper v1.04",
    ),
    Gpu(
        name="H100 NVL", driver_names=("NVIDIA H100 NVL",), sms=132,
        boost_hertz=1785e6, tensor_boost_hertz=1545e6, flops_per_clock_per_sm=HOPPER,
        pin_bits_per_second=5.238e9, memory_bus_bits=6016, memory_bytes=94 * GIB, l2_bytes=60 * MIB,
        published=_HOPPER_NVL | {"bytes_per_second": 3938e9}, published_sparse=_HOPPER_NVL_SPARSE,
        source="NVIDIA H100 product page (H100 NVL), 2026; clocks, memory: product brief PB-11773-001 v01",
        note=f"{_HALVED} {_NVL_CLOCK} Documents of 2023 print a pair of boards with the SXM5 figures.",
    ),
    Gpu(
        name="H100 PCIe", driver_names=("NVIDIA H100 PCIe",), sms=114,
        boost_hertz=1755e6, tensor_boost_hertz=1620e6, flops_per_clock_per_sm=HOPPER,
        pin_bits_per_second=3.186e9, memory_bus_bits=5120, memory_bytes=80 * GIB, l2_bytes=50 * MIB,
        published={
            "float64": 51.2e12, "float32": 51.2e12, "tf32": 378e12,
            "bfloat16": 756e12, "float16": 756e12, "float8_e4m3fn": 1513e12, "bytes_per_second": 2039e9,
        },
        source=_H100_SOURCE,
    ),
    Gpu(
        name="H100 SXM5 80GB", driver_names=("NVIDIA H100 80GB HBM3",), sms=132,
        boost_hertz=1980e6, tensor_boost_hertz=1830e6, flops_per_clock_per_sm=HOPPER,
        pin_bits_per_second=5.238e9, memory_bus_bits=5120, memory_bytes=80 * GIB, l2_bytes=50 * MIB,
        published={
            "float64": 66.9e12, "float32": 66.9e12, "tf32": 494.7e12,
            "bfloat16": 989.4e12, "float16": 989.4e12, "float8_e4m3fn": 1978.9e12,
            "bytes_per_second": 3352e9,
        },
        source=_H100_SOURCE,
    ),
    Gpu(
        name="H200 NVL", driver_names=("NVIDIA H200 NVL",), sms=132,
        boost_hertz=1785e6, tensor_boost_hertz=1545e6, flops_per_clock_per_sm=HOPPER,
        pin_bits_per_second=6.402e9, memory_bus_bits=6016, memory_bytes=141 * GIB, l2_bytes=60 * MIB,
        published=_HOPPER_NVL | {"bytes_per_second": 4.8e12}, published_sparse=_HOPPER_NVL_SPARSE,
        source="NVIDIA H200 product page (H200 NVL), 2026; clocks, memory: H200 NVL product brief",
        note=f"{_HALVED} {_NVL_CLOCK}",
    ),
    Gpu(
        name="H200 SXM", driver_names=("NVIDIA H200",), sms=132,
        boost_hertz=1980e6, tensor_boost_hertz=1830e6, flops_per_clock_per_sm=HOPPER,
        pin_bits_per_second=6.402e9, memory_bus_bits=6016, memory_bytes=141 * GIB, l2_bytes=60 * MIB,
        published={
            "float64": 67e12, "float32": 67e12, "tf32": 494.5e12,
            "bfloat16": 989.5e12, "float16": 989.5e12, "float8_e4m3fn": 1979e12, "bytes_per_second": 4.8e12,
        },
        published_sparse={
            "tf32": 989e12, "bfloat16": 1979e12, "float16": 1979e12, "float8_e4m3fn": 3958e12,
        },
        source=(
            "NVIDIA H200 Tensor Core GPU datasheet 3002446, 2023; clocks: H100 whitepaper v1.04; memory: "
            "H200 NVL product brief; L2: as the driver reports it"
        ),
        note=f"{_HALVED} Six stacks would make a bus of 6144 bits; 6016 are enabled, as 141 of 144 GB are.",
    ),
    Gpu(
        name="L4", driver_names=("NVIDIA L4",), sms=58,
        boost_hertz=2040e6, tensor_boost_hertz=2040e6, flops_per_clock_per_sm=ADA,
        pin_bits_per_second=12.5e9, memory_bus_bits=192, memory_bytes=24 * GIB, l2_bytes=48 * MIB,
        published={
            "float32": 30.3e12, "tf32": 60e12, "bfloat16": 121e12, "float16": 121e12,
            "float8_e4m3fn": 242.5e12, "bytes_per_second": 300e9,
        },
        published_sparse={"tf32": 120e12, "bfloat16": 242e12, "float16": 242e12, "float8_e4m3fn": 485e12},
        source="NVIDIA L4 Tensor Core GPU datasheet, 2023; SMs, clocks and L2: Ada whitepaper v2.1",
        note=_HALVED,
    ),
    Gpu(
        name="L40", driver_names=("NVIDIA L40",), sms=142,
        boost_hertz=2490e6, tensor_boost_hertz=2490e6, flops_per_clock_per_sm=ADA_HALF,
        pin_bits_per_second=18e9, memory_bus_bits=384, memory_bytes=48 * GIB, l2_bytes=96 * MIB,
        published={
            "float32": 90.5e12, "tf32": 90.5e12, "bfloat16": 181.05e12, "float16": 181.05e12,
            "float8_e4m3fn": 362e12, "bytes_per_second": 864e9,
        },
        published_sparse={"tf32": 181e12, "bfloat16": 362.1e12, "float16": 362.1e12, "float8_e4m3fn": 724e12},
        source=f"NVIDIA L40 datasheet, 2023; clocks and L2: {_ADA_SOURCE}",
        note="The chip of the L40S, at half its tensor-core rate.",
    ),
    Gpu(
        name="L40S", driver_names=("NVIDIA L40S",), sms=142,
        boost_hertz=2520e6, tensor_boost_hertz=2520e6, flops_per_clock_per_sm=ADA,
        pin_bits_per_second=18e9, memory_bus_bits=384, memory_bytes=48 * GIB, l2_bytes=96 * MIB,
        published={
            "float32": 91.6e12, "tf32": 183e12, "bfloat16": 362.05e12, "float16": 362.05e12,
            "float8_e4m3fn": 733e12, "bytes_per_second": 864e9,
        },
        published_sparse={"tf32": 366e12, "bfloat16": 733e12, "float16": 733e12, "float8_e4m3fn": 1466e12},
        source="NVIDIA L40S GPU datasheet, 2023; L2: the full AD102 of the Ada whitepaper v2.1",
        note="The document's dense 16 bit figure is 1.2 % below the half of its own sparse one, 366.5.",
    ),
    Gpu(
        name="Quadro RTX 6000", driver_names=("Quadro RTX 6000",), sms=72,
        boost_hertz=1770e6, tensor_boost_hertz=1770e6, flops_per_clock_per_sm=TURING,
        pin_bits_per_second=14e9, memory_bus_bits=384, memory_bytes=24 * GIB, l2_bytes=6 * MIB,
        published={"float32": 16.3e12, "float16": 130.5e12, "bytes_per_second": 672e9},
        source=_TURING_SOURCE,
    ),
    Gpu(
        name="Quadro RTX 8000", driver_names=("Quadro RTX 8000",), sms=72,
        boost_hertz=1770e6, tensor_boost_hertz=1770e6, flops_per_clock_per_sm=TURING,
        pin_bits_per_second=14e9, memory_bus_bits=384, memory_bytes=48 * GIB, l2_bytes=6 * MIB,
        published={"float32": 16.3e12, "float16": 130.5e12, "bytes_per_second": 672e9},
        source=_TURING_SOURCE,
    ),
    Gpu(
        name="RTX 6000 Ada", driver_names=("NVIDIA RTX 6000 Ada Generation",), sms=142,
        boost_hertz=2505e6, tensor_boost_hertz=2505e6, flops_per_clock_per_sm=ADA,
        pin_bits_per_second=20e9, memory_bus_bits=384, memory_bytes=48 * GIB, l2_bytes=96 * MIB,
        published={
            "float32": 91.1e12, "tf32": 182.1e12, "bfloat16": 364.2e12, "float16": 364.2e12,
            "float8_e4m3fn": 728.5e12, "bytes_per_second": 960e9,
        },
        source="NVIDIA Ada GPU Architecture whitepaper for professional visualization v1.1, 2023",
    ),
    Gpu(
        name="RTX A5000", driver_names=("NVIDIA RTX A5000",), sms=64,
        boost_hertz=1695e6, tensor_boost_hertz=1695e6, flops_per_clock_per_sm=AMPERE_GA10X,
        pin_bits_per_second=16e9, memory_bus_bits=384, memory_bytes=24 * GIB, l2_bytes=6 * MIB,
        published={"float32": 27.8e12, "float16": 111.1e12, "bytes_per_second": 768e9},
        published_sparse={"float16": 222.2e12},
        source="NVIDIA RTX A5000 datasheet, 2021",
        note=f"{_HALVED} It names no clock and no dtype: 1695 MHz is its 27.8 TFLOPS turned round.",
    ),
    Gpu(
        name="RTX A6000", driver_names=("NVIDIA RTX A6000",), sms=84,
        boost_hertz=1800e6, tensor_boost_hertz=1800e6, flops_per_clock_per_sm=AMPERE_GA10X,
        pin_bits_per_second=16e9, memory_bus_bits=384, memory_bytes=48 * GIB, l2_bytes=6 * MIB,
        published={
            "float32": 38.7e12, "tf32": 77.4e12, "bfloat16": 154.8e12, "float16": 154.8e12,
            "bytes_per_second": 768e9,
        },
        source=_GA102_SOURCE,
    ),
    Gpu(
        name="RTX PRO 6000 Blackwell Max-Q",
        driver_names=("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",), sms=188,
        boost_hertz=2280e6, tensor_boost_hertz=2280e6, flops_per_clock_per_sm=ADA,
        pin_bits_per_second=28e9, memory_bus_bits=512, memory_bytes=96 * GIB, l2_bytes=128 * MIB,
        published={
            "float32": 109.7e12, "tf32": 219.5e12, "bfloat16": 438.9e12, "float16": 438.9e12,
            "float8_e4m3fn": 877.9e12, "bytes_per_second": 1792e9,
        },
        source=_RTX_PRO_SOURCE,
    ),
    Gpu(
        name="RTX PRO 6000 Blackwell Workstation",
        driver_names=("NVIDIA RTX PRO 6000 Blackwell Workstation Edition",), sms=188,
        boost_hertz=2617e6, tensor_boost_hertz=2617e6, flops_per_clock_per_sm=ADA,
        pin_bits_per_second=28e9, memory_bus_bits=512, memory_bytes=96 * GIB, l2_bytes=128 * MIB,
        published={
            "float32": 126e12, "tf32": 251.9e12, "bfloat16": 503.8e12, "float16": 503.8e12,
            "float8_e4m3fn": 1007.6e12, "bytes_per_second": 1792e9,
        },
        source=_RTX_PRO_SOURCE,
    ),
    Gpu(
        name="T4", driver_names=("Tesla T4",), sms=40,
        boost_hertz=1590e6, tensor_boost_hertz=1590e6, flops_per_clock_per_sm=TURING,
        pin_bits_per_second=10e9, memory_bus_bits=256, memory_bytes=16 * GIB, l2_bytes=4 * MIB,
        published={"float32": 8.1e12, "float16": 65e12, "bytes_per_second": 320e9},
        source=f"NVIDIA T4 Tensor Core GPU datasheet 951643; clocks and L2: {_TURING_SOURCE}",
    ),
    Gpu(
        name="TITAN RTX", driver_names=("NVIDIA TITAN RTX",), sms=72,
        boost_hertz=1770e6, tensor_boost_hertz=1770e6, flops_per_clock_per_sm=TURING,
        pin_bits_per_second=14e9, memory_bus_bits=384, memory_bytes=24 * GIB, l2_bytes=6 * MIB,
        published={"float32": 16.3e12, "float16": 130.5e12, "bytes_per_second": 672e9},
        source=_GA102_SOURCE,
    ),
    Gpu(
        name="V100 PCIe 16GB", driver_names=("Tesla V100-PCIE-16GB",), sms=80,
        boost_hertz=1380e6, tensor_boost_hertz=1380e6, flops_per_clock_per_sm=VOLTA,
        pin_bits_per_second=1.755e9, memory_bus_bits=4096, memory_bytes=16 * GIB, l2_bytes=6 * MIB,
        published=_V100_PCIE, source=_V100_SOURCE,
    ),
    Gpu(
        name="V100 PCIe 32GB", driver_names=("Tesla V100-PCIE-32GB",), sms=80,
        boost_hertz=1380e6, tensor_boost_hertz=1380e6, flops_per_clock_per_sm=VOLTA,
        pin_bits_per_second=1.755e9, memory_bus_bits=4096, memory_bytes=32 * GIB, l2_bytes=6 * MIB,
        published=_V100_PCIE, source=_V100_SOURCE,
    ),
    Gpu(
        name="V100 SXM2 16GB", driver_names=("Tesla V100-SXM2-16GB",), sms=80,
        boost_hertz=1530e6, tensor_boost_hertz=1530e6, flops_per_clock_per_sm=VOLTA,
        pin_bits_per_second=1.755e9, memory_bus_bits=4096, memory_bytes=16 * GIB, l2_bytes=6 * MIB,
        published=_V100_SXM2, source=_V100_SOURCE,
    ),
    Gpu(
        name="V100 SXM2 32GB", driver_names=("Tesla V100-SXM2-32GB",), sms=80,
        boost_hertz=1530e6, tensor_boost_hertz=1530e6, flops_per_clock_per_sm=VOLTA,
        pin_bits_per_second=1.755e9, memory_bus_bits=4096, memory_bytes=32 * GIB, l2_bytes=6 * MIB,
        published=_V100_SXM2, source=_V100_SOURCE,
    ),
    Gpu(
        name="V100S PCIe 32GB", driver_names=("Tesla V100S-PCIE-32GB",), sms=80,
        boost_hertz=1597e6, tensor_boost_hertz=1597e6, flops_per_clock_per_sm=VOLTA,
        pin_bits_per_second=2.214e9, memory_bus_bits=4096, memory_bytes=32 * GIB, l2_bytes=6 * MIB,
        published={"float64": 8.2e12, "float32": 16.4e12, "float16": 130e12, "bytes_per_second": 1134e9},
        source="NVIDIA V100 datasheet, January 2020; clocks: as the driver reports them",
    ),
)
# fmt: on


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
