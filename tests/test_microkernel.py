"""The machine code against counts made without it: a kernel must do the multiply-adds it claims."""

import ctypes
import os
import platform
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.measure.peaks import microkernel
from harness.measure.peaks.microkernel import (
    Kernel,
    catalogue,
    executable,
)
from harness.measure.peaks.microkernel import (
    catalogue as x86_64,
)
from harness.measure.peaks.microkernel import (
    executable as features,
)
from harness.measure.peaks.microkernel import (
    rates as reads,
)
from harness.measure.peaks.microkernel.executable import Timed
from harness.measure.peaks.microkernel.rates import agreed, simultaneous

pytestmark = pytest.mark.instructions

SOURCE = Path(x86_64.__file__).with_name("x86_64.S")
ROUTINES = {name.lower(): code for name, code in vars(x86_64).items() if isinstance(code, bytes)}
CACHED = (
    executable.unavailable_reason,
    features.flags_here,
    features.tiles_refused,
    catalogue.unusable,
    reads.reader,
)

needs_machine_code = pytest.mark.skipif(
    microkernel.unavailable_reason() is not None, reason=str(microkernel.unavailable_reason())
)
each_kernel = pytest.mark.parametrize("kernel", catalogue.ALL, ids=lambda kernel: kernel.name)


@pytest.fixture
def another_machine() -> Iterator[None]:
    """Forgets what is known of this machine, before and after the test changes it."""
    for function in CACHED:
        function.cache_clear()
    yield
    for function in CACHED:
        function.cache_clear()


def skip_unless_usable(kernel: Kernel) -> None:
    if kernel.name in microkernel.unusable():
        pytest.skip(microkernel.unusable()[kernel.name])


@needs_machine_code
@pytest.mark.parametrize("iterations", [0, 1, 7, 1000])
@pytest.mark.parametrize("start", [0, 1, 2**64 - 5])
@pytest.mark.parametrize("operand", [1, 3, 0x9E3779B97F4A7C15])
def test_a_chain_runs_every_instruction_it_is_timed_for(iterations: int, start: int, operand: int) -> None:
    instructions = iterations * x86_64.CHAIN_LENGTH

    added = executable.chain(x86_64.ADD_CHAIN)(iterations, start, operand)
    multiplied = executable.chain(x86_64.IMUL_CHAIN)(iterations, start, operand)

    assert added == (start + instructions * operand) % 2**64
    assert multiplied == start * pow(operand, instructions, 2**64) % 2**64


@each_kernel
@pytest.mark.parametrize("iterations", [0, 1, 2, 63, 2048])
def test_a_kernel_does_the_multiply_adds_it_counts(kernel: Kernel, iterations: int) -> None:
    skip_unless_usable(kernel)

    accumulators = kernel.count(iterations)

    assert sum(accumulators) == iterations * kernel.flops_per_iteration // 2
    assert set(accumulators) == {iterations * kernel.multiply_adds}  # none is forgotten, none done twice


@each_kernel
def test_a_kernel_writes_nothing_beyond_its_accumulators(kernel: Kernel) -> None:
    skip_unless_usable(kernel)
    size = len(kernel.memory())
    memory = ctypes.create_string_buffer(b"\xa5" * (size + 64), size + 64)

    kernel.run(1, memory)

    assert memory.raw[size:] == b"\xa5" * 64


@each_kernel
@pytest.mark.parametrize("threads", [1, 2])
def test_a_peak_says_what_it_rests_on(kernel: Kernel, threads: int) -> None:
    skip_unless_usable(kernel)

    peak = microkernel.peak(kernel, threads, seconds=0.002)

    assert peak.per_second > 0
    assert peak.threads == threads
    assert peak.spread >= 0
    assert 1 <= peak.repeats <= 10


def test_a_peak_of_no_threads_is_refused() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1"):
        microkernel.peak(catalogue.ALL[0], 0)


@needs_machine_code
def test_the_clock_keeps_both_readings() -> None:
    clock = microkernel.clock_hz()

    assert clock is not None
    assert clock.add_hertz > 0
    assert clock.imul_hertz > 0
    assert (clock.hertz is None) == (clock.reason is not None)


def test_readings_that_agree_give_the_higher_and_others_a_reason() -> None:
    assert agreed(3.98e9, 4.0e9).hertz == 4.0e9
    assert agreed(4.0e9, 3.89e9).hertz == 4.0e9

    disagreeing = agreed(4.0e9, 2.4e9)

    assert disagreeing.hertz is None
    assert disagreeing.reason is not None
    assert "4.00 GHz by add, 2.40 GHz by imul" in disagreeing.reason


def test_only_calls_during_which_all_threads_ran_count() -> None:
    early = [Timed(start, start + 1, 1.0) for start in (0, 1, 2, 3)]
    late = [Timed(start, start + 1, 1.0) for start in (1.5, 2.5, 3.5)]
    alone = [Timed(9.0, 10.0, 1.0)]

    assert simultaneous([early, late]) == [early[2:], late[:2]]
    assert simultaneous([early, alone]) == [early, alone]  # they never met: better all than none
    assert simultaneous([early]) == [early]


@pytest.mark.usefixtures("another_machine")
@pytest.mark.parametrize(("what", "answer"), [("machine", "aarch64"), ("system", "Darwin")])
def test_another_machine_is_a_reason(monkeypatch: pytest.MonkeyPatch, what: str, answer: str) -> None:
    monkeypatch.setattr(platform, what, lambda: answer)

    reason = microkernel.unavailable_reason()

    assert reason is not None
    assert answer in reason
    assert microkernel.clock_hz() is None
    assert microkernel.kernels() == ()
    assert set(microkernel.unusable().values()) == {reason}


@needs_machine_code
@pytest.mark.usefixtures("another_machine")
def test_a_system_without_executable_memory_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(code: bytes) -> None:
        raise PermissionError(13, "mprotect: Permission denied")

    monkeypatch.setattr(executable, "_mapped", refuse)

    reason = microkernel.unavailable_reason()

    assert reason is not None
    assert "mprotect: Permission denied" in reason
    assert microkernel.clock_hz() is None
    assert microkernel.kernels() == ()


@needs_machine_code
@pytest.mark.usefixtures("another_machine")
def test_no_kernel_runs_on_flags_the_cpu_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "flags_here", lambda: frozenset({"avx", "avx2", "avx512f", "amx_bf16"}))
    tried: list[str] = []
    monkeypatch.setattr(Kernel, "run", lambda kernel, iterations, memory: tried.append(kernel.name))

    refusals = microkernel.unusable()

    assert refusals["fma-float32-avx2"].endswith("lacks fma")
    assert refusals["dot-bfloat16-avx512"].endswith("lacks avx512_bf16")
    assert refusals["fma-float16-avx512"].endswith("lacks avx512_fp16")
    assert refusals["tile-bfloat16-amx"].endswith("lacks amx_tile")
    assert tried == ["fma-float32-avx512"]


@needs_machine_code
@pytest.mark.usefixtures("another_machine")
def test_tiles_need_the_permission_and_a_kernel_that_miscounts_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every_flag = frozenset(flag for kernel in catalogue.ALL for flag in kernel.flags)
    monkeypatch.setattr(features, "flags_here", lambda: every_flag)
    monkeypatch.setattr(features, "tiles_refused", lambda: "Linux refused the AMX tiles: no")
    monkeypatch.setattr(Kernel, "run", lambda kernel, iterations, memory: None)

    refusals = microkernel.unusable()

    assert refusals["tile-bfloat16-amx"] == "Linux refused the AMX tiles: no"
    assert refusals["fma-float32-avx2"] == "it did 0 multiply-adds of 288"
    assert microkernel.kernels() == ()


@pytest.mark.parametrize(
    ("cpuinfo", "flags"),
    [
        ("", set()),
        ("Features : asimd sve", set()),
        ("flags\t\t: fpu avx2 fma\nvmx flags\t: vnmi\n", {"fpu", "avx2", "fma"}),
        ("flags : avx2 fma\n\nflags : avx2\n", {"avx2"}),
    ],
)
def test_flags_are_those_of_every_processor(cpuinfo: str, flags: set[str]) -> None:
    assert features.cpu_flags(cpuinfo) == flags


@needs_machine_code
@pytest.mark.parametrize("loop", reads.READERS, ids=lambda loop: loop.name)
@pytest.mark.parametrize(("passes", "blocks"), [(0, 1), (1, 1), (3, 5)])
def test_a_reader_reads_every_word(loop: reads.Reader, passes: int, blocks: int) -> None:
    """The sum of all words, computed in Python, is the proof that none was left out or read twice."""
    if not features.flags_here().issuperset(loop.flags):
        pytest.skip("not on this CPU")
    memory = reads.touched(blocks * reads.BLOCK_BYTES)
    memory[8:16] = (2**64 - 3).to_bytes(8, "little")
    words = struct.unpack(f"<{len(memory) // 8}Q", memory[:])

    assert loop.read(passes, memory) == passes * sum(words) % 2**64


@needs_machine_code
@pytest.mark.usefixtures("another_machine")
@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"sse2", "avx"}, None),
        ({"sse2", "avx", "avx2"}, "read-avx2"),
        ({"sse2", "avx", "avx2", "avx512f"}, "read-avx512"),
    ],
)
def test_the_reader_is_the_widest_that_the_cpu_runs(
    flags: set[str], name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "flags_here", lambda: frozenset(flags))

    loop = reads.reader()

    assert (loop.name if loop else None) == name


@needs_machine_code
def test_a_bandwidth_says_what_it_rests_on() -> None:
    loop = reads.reader()
    if loop is None:
        pytest.skip("this CPU runs no reader")

    rate = microkernel.bandwidth(loop, 4 * reads.BLOCK_BYTES + 7, threads=1, seconds=0.001)

    assert rate.per_second > 0
    assert rate.threads == 1


def test_a_bandwidth_of_less_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes_per_thread must be at least 1024, not 8"):
        microkernel.bandwidth(reads.READERS[0], 8, threads=1)


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source, assembled here."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip("`as` on this machine is for another instruction set")
    if shutil.which("as") is None or shutil.which("objcopy") is None:
        pytest.skip("no binutils (as, objcopy) here")
    target = tmp_path_factory.mktemp("microkernel") / "x86_64.o"
    command = ["as", "--64", "-o", os.fspath(target), os.fspath(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "no such instruction" in done.stderr:
        pytest.skip("this assembler is older than the instructions")
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("routine", sorted(ROUTINES))
def test_the_bytes_are_those_of_the_source(routine: str, assembled: Path, tmp_path: Path) -> None:
    binary = tmp_path / routine

    command = ["objcopy", "-O", "binary", f"--only-section=.text.{routine}"]
    subprocess.run([*command, os.fspath(assembled), os.fspath(binary)], check=True)

    assert binary.read_bytes() == ROUTINES[routine]
