"""Every figure of the table is derived twice: from the document and from the hardware numbers."""

import itertools
import re

import pytest

from harness.cost.datasheets import GIB, MIB, Gpu, lookup, nvidia

DTYPES = {"float64", "float32", "tf32", "bfloat16", "float16", "float8_e4m3fn"}
every_row = pytest.mark.parametrize("gpu", nvidia(), ids=lambda gpu: gpu.name.replace(" ", "-"))


@every_row
def test_the_hardware_numbers_give_the_published_figures(gpu: Gpu) -> None:
    computed = {dtype: gpu.flops_per_second(dtype) for dtype in gpu.published if dtype in DTYPES}
    assert {**computed, "bytes_per_second": gpu.bytes_per_second} == pytest.approx(gpu.published, rel=0.02)


@every_row
def test_every_row_says_where_its_figures_stand(gpu: Gpu) -> None:
    assert gpu.source.startswith("NVIDIA ")
    document = gpu.source.partition(";")[0]
    assert re.search(r"\b(20\d\d|[vV]\d|\d{6,7}|WP-\d+)", document), "no date, version or document number"
    assert {"float32", "float16", "bytes_per_second"} <= gpu.published.keys()
    assert gpu.published.keys() <= DTYPES | {"bytes_per_second"}
    assert gpu.flops_per_clock_per_sm.keys() <= DTYPES


@every_row
def test_dense_is_half_of_sparse(gpu: Gpu) -> None:
    for dtype, sparse in gpu.published_sparse.items():
        assert sparse == pytest.approx(2 * gpu.published[dtype], rel=0.02)


@every_row
def test_tensor_core_rates_stand_in_whole_ratios(gpu: Gpu) -> None:
    half = gpu.flops_per_second("float16")
    assert half is not None
    for dtype, ratio in {"bfloat16": 1.0, "tf32": 0.5, "float8_e4m3fn": 2.0}.items():
        assert gpu.flops_per_second(dtype) in {None, ratio * half}


@every_row
def test_a_dtype_exists_from_its_generation_on(gpu: Gpu) -> None:
    before_ampere = gpu.name.startswith(("V100", "T4", "TITAN", "Quadro"))
    ampere = gpu.name.startswith(("A", "RTX A", "GeForce RTX 30"))
    assert (gpu.flops_per_second("bfloat16") is None) == before_ampere
    assert (gpu.flops_per_second("tf32") is None) == before_ampere
    assert (gpu.flops_per_second("float8_e4m3fn") is None) == (before_ampere or ampere)
    assert gpu.flops_per_second("float8_e4m3") is None, "no such dtype"


@every_row
def test_sizes_and_clocks_are_in_base_units(gpu: Gpu) -> None:
    assert 1e9 < gpu.tensor_boost_hertz <= gpu.boost_hertz < 3e9
    assert 1e9 < gpu.pin_bits_per_second <= 36e9
    assert gpu.memory_bus_bits % 64 == 0
    assert gpu.memory_bytes % GIB == 0
    assert 4 * MIB <= gpu.l2_bytes <= 128 * MIB


def test_half_rate_boards_differ_from_their_full_rate_siblings() -> None:
    """GeForce, A10G and L40 accumulate in 32 bits at half rate; the same chip elsewhere does not."""
    for halved, full in (
        ("NVIDIA GeForce RTX 3090", "NVIDIA RTX A6000"),
        ("NVIDIA A10G", "NVIDIA A10"),
        ("NVIDIA L40", "NVIDIA L40S"),
        ("NVIDIA GeForce RTX 5090", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"),
    ):
        slow, fast = lookup(halved), lookup(full)
        assert slow is not None
        assert fast is not None
        for dtype in ("tf32", "bfloat16", "float16"):
            assert 2 * slow.flops_per_clock_per_sm[dtype] == fast.flops_per_clock_per_sm[dtype]
        assert slow.flops_per_clock_per_sm["float32"] == fast.flops_per_clock_per_sm["float32"]


def test_names_are_sorted_and_no_two_rows_answer_to_one_driver_name() -> None:
    names = [gpu.name.casefold() for gpu in nvidia()]
    assert all(before < after for before, after in itertools.pairwise(names))
    driver_names = [name.casefold() for gpu in nvidia() for name in gpu.driver_names]
    assert len(driver_names) == len(set(driver_names))
    for gpu in nvidia():
        assert all(lookup(name) is gpu for name in gpu.driver_names)


# What drivers really reported: name, SMs, bytes of memory (public logs of torch device properties).
REPORTED = [
    ("NVIDIA A10G", 80, 22_587 * MIB, "A10G"),
    ("NVIDIA B200", 148, 191_495_471_104, "B200"),
    ("NVIDIA GH200 144G HBM3e", 132, 153_008_209_920, "GH200 144GB"),
    ("NVIDIA GH200 480GB", 132, 97_280 * MIB, "GH200 96GB"),
    ("NVIDIA H100 80GB HBM3", 132, 81_089 * MIB, "H100 SXM5 80GB"),
    ("NVIDIA H100 NVL", 132, 99_456_909_312, "H100 NVL"),
    ("NVIDIA H200", 132, 143_156 * MIB, "H200 SXM"),
    ("NVIDIA L40S", 142, 45_589 * MIB, "L40S"),
    ("NVIDIA TITAN RTX", 72, 25_396_576_256, "TITAN RTX"),
    ("Tesla T4", 40, int(14.56 * GIB), "T4"),
]


@pytest.mark.parametrize(("name", "sms", "memory_bytes", "row"), REPORTED, ids=[r[3] for r in REPORTED])
def test_what_a_real_driver_reports_is_found(name: str, sms: int, memory_bytes: int, row: str) -> None:
    gpu = lookup(name, sms=sms, memory_bytes=memory_bytes)
    assert gpu is not None
    assert gpu.name == row


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100 SXM4 80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM4 40GB"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("GeForce RTX 3090", "GeForce RTX 3090"),
        ("A100-SXM4-40GB", "A100 SXM4 40GB"),
        ("nvidia  l4 ", "L4"),
    ],
)
def test_a_name_finds_its_row(name: str, row: str) -> None:
    gpu = lookup(name)
    assert gpu is not None
    assert gpu.name == row


@pytest.mark.parametrize(
    "name",
    [
        "",
        "NVIDIA",
        "NVIDIA H100",
        "NVIDIA H1000",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA A100",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "AMD Instinct MI300X",
    ],
)
def test_another_device_is_not_found(name: str) -> None:
    assert lookup(name) is None


def test_a_slice_of_a_device_is_not_the_device() -> None:
    name = "NVIDIA A100-SXM4-80GB"
    assert lookup(name, sms=108, memory_bytes=80 * GIB) is not None
    assert lookup(name, sms=14) is None
    assert lookup(name, sms=109) is None
    assert lookup(name, memory_bytes=40 * GIB) is None
    assert lookup(name, sms=108, memory_bytes=71 * GIB) is None
