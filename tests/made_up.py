"""Records of a machine that does not exist."""

from typing import Any

from harness import store
from harness.records import (
    BandwidthPeak,
    Case,
    ComputePeak,
    Cost,
    Disturbance,
    Environment,
    Failed,
    Header,
    Measurement,
    MemoryLevel,
    PeakLevel,
    Peaks,
    Prediction,
    Result,
    Run,
    Samples,
    Sampling,
    Series,
    Settings,
    Skipped,
    StopReason,
    View,
)
from harness.records.environment import Code, Numerics, Software, State, Torch
from harness.records.machine import Host, Limits, Memory, Processor
from harness.report.markdown import markdown
from harness.report.sections import page

SAMPLING = Sampling(
    processes=2,
    preheat_seconds=0.0,
    warmup_seconds=0.01,
    block_seconds=0.005,
    max_seconds=0.2,
    min_sample_seconds=1e-5,
    target_half_width=0.01,
    limit_seconds=60.0,
)


def _filled(kind: type[Any], **known: Any) -> Any:
    """A record with None in every field that has no default and is not known."""
    required = kind.__struct_fields__[: len(kind.__struct_fields__) - len(kind.__struct_defaults__)]
    return kind(**{**dict.fromkeys(required), **known})


def environment(host: str = "0123456789abcdef", model_name: str = "Made-up CPU") -> Environment:
    empty: dict[str, Any] = {"isa": (), "caches": (), "numa_nodes": (), "mitigations": {}}
    return Environment(
        code=_filled(Code, command=("plumbline", "bench"), commit="a" * 40),
        software=_filled(
            Software,
            python="3.11.0",
            python_implementation="CPython",
            torch=_filled(Torch, version="2.13.0", config_hash="0", cpu_capability="AVX2"),
            thread_pools=(),
            packages={},
            packages_hash="0",
            environment_variables={},
        ),
        numerics=_filled(
            Numerics,
            default_dtype="float32",
            cudnn_benchmark=False,
            cudnn_deterministic=False,
            deterministic_algorithms=False,
            mkldnn_enabled=True,
            attention_backends=(),
        ),
        processor=_filled(Processor, architecture="x86_64", model_name=model_name, **empty),
        memory=_filled(Memory, total_bytes=2**34, page_bytes=4096, preloads=(), allocators=()),
        limits=_filled(Limits, usable_physical_cores=2, intraop_threads=2, interop_threads=2),
        accelerators=(),
        host=_filled(Host, id=host, id_source="made up"),
        state=_filled(State, captured_at="2026-01-02T03:04:05+00:00"),
        device_name="cpu",
    )


PEAKS = Peaks(
    compute=(
        ComputePeak("float32", 2, PeakLevel.CLOCK_TRUE, "2 x 3.00 GHz x 32 FLOP/cycle", 192e9),
        ComputePeak("float32", 2, PeakLevel.MICRO_KERNEL, "fp32-avx2-fma", 190e9, 0.01),
        ComputePeak("float32", 2, PeakLevel.PEER, "numpy product, n = 1024", 180e9, 0.02),
        ComputePeak("float32", 2, PeakLevel.TORCH, "torch product, n = 1024", 150e9, 0.02),
    ),
    bandwidth=(
        BandwidthPeak("L2", 2, PeakLevel.TORCH, "torch copy, 1048576 B", 100e9, 0.02),
        BandwidthPeak("DRAM", 2, PeakLevel.TORCH, "torch triad, 268435456 B", 20e9, 0.10),
    ),
    levels=(MemoryLevel("L2", 2**21), MemoryLevel("DRAM", None)),
    clock_hertz=3e9,
    unmeasured={"datasheet": "no datasheet row for 'GPU | of tomorrow'"},
)


def product(n: int, dtype: str = "float32") -> Case:
    cost = Cost(flops=2 * n**3, bytes_read=8 * n * n, bytes_written=4 * n * n, memory_bytes=12 * n * n)
    return Case(
        id=f"matmul-{dtype}-m{n}-n{n}-k{n}",
        suite="matmul",
        family="matmul",
        dtype=dtype,
        sizes={"m": n, "n": n, "k": n},
        cost=cost,
        working_set_bytes=cost.bytes_moved,
        series=Series(f"matmul-{dtype}-square", "n", n, 3.0),
    )


def samples(seconds: float, *, spread: float = 0.002, count: int = 16) -> Samples:
    steps = [spread * ((i % 5) - 2) / 2 for i in range(count)]
    return Samples(
        calls_per_sample=1,
        seconds=tuple(seconds * (1 + step) for step in steps),
        blocks=(count // 2, count - count // 2),
        disturbance=Disturbance(
            cpu_seconds=(seconds,) * count,
            involuntary_switches=(0,) * count,
            page_faults=(0,) * count,
            run_delay_seconds=(0.0,) * count,
        ),
    )


def measurement(
    seconds: float, *, spread: float = 0.002, count: int = 16, memory: int | None = None
) -> Measurement:
    statistics = samples(seconds, spread=spread, count=count).statistics()
    view = View("cpu", 1, (statistics, statistics), StopReason.CONVERGED)
    return Measurement(view, timer_cost_seconds=1e-7, peak_memory_bytes=memory, threads=2, usable_cores=2)


def measured_product(n: int, rate: float = 150e9, overhead: float = 2e-6) -> Result:
    case = product(n)
    assert case.cost is not None
    return Result(
        case=case,
        prediction=Prediction(2 * n**3 / 190e9, case.cost.bytes_moved / 100e9, 190e9, 100e9, "L2"),
        outcome=measurement(overhead + 2 * n**3 / rate, memory=case.cost.memory_bytes),
    )


SKIPPED = Result(
    case=product(64, "tf32"), outcome=Skipped("TF32 needs an NVIDIA GPU"), prediction=Prediction()
)
FAILED = Result(case=product(64, "float16"), outcome=Failed("RuntimeError: it broke | <badly>"))


def header(planned: tuple[str, ...], **changes: Any) -> Header:
    known: dict[str, Any] = {
        "id": "20260102T030405Z-aaaaaaaa-0a1b2c",
        "schema_version": store.SCHEMA_VERSION,
        "started_at": "2026-01-02T03:04:05+00:00",
        "settings": Settings(("matmul",), "", "quick", "cpu", 2, SAMPLING),
        "environment": environment(),
        "planned": planned,
        "peaks": (PEAKS,),
    }
    return Header(**(known | changes))


SIZES = (64, 128, 256, 512, 1024, 2048)


def run(results: tuple[Result, ...] | None = None, *, finished: bool = True) -> Run:
    results = results if results is not None else tuple(measured_product(n) for n in SIZES)
    planned = tuple(result.case.id for result in results)
    finished_at = "2026-01-02T03:05:05+00:00" if finished else None
    return Run(header(planned, finished_at=finished_at), results)


def markdown_of(run: Run) -> str:
    """The whole report of a run as Markdown."""
    return markdown(page(run))
