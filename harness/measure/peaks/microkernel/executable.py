"""Machine code made callable: private memory that is first written, then executable, never both.

A hardened kernel (PaX, SELinux without execmem, some sandboxes) refuses the second step; then there
is a reason, not an error.
"""

import ctypes
import functools
import mmap
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harness.measure.environment.kernel import read
from harness.measure.peaks.microkernel import catalogue as x86_64

# arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): Documentation/arch/x86/xstate.rst.
_ARCH_PRCTL = 158
_ARCH_REQ_XCOMP_PERM = 0x1023
_XFEATURE_XTILEDATA = 18


def cpu_flags(cpuinfo: str) -> frozenset[str]:
    """The flags that every processor in a text of /proc/cpuinfo has; none where it names none."""
    processors = [frozenset(flags.split()) for flags in re.findall(r"(?m)^flags\s*:(.*)$", cpuinfo)]
    return frozenset.intersection(*processors) if processors else frozenset()


@functools.cache
def flags_here() -> frozenset[str]:
    """The flags of this machine's processors."""
    return cpu_flags(read(Path("/proc/cpuinfo")) or "")


@functools.cache
def tiles_refused() -> str | None:
    """Why Linux does not let this process use AMX tiles; None once it has given permission.

    The permission holds for all threads until the process ends, and enlarges its signal frames. A
    kernel before 5.16 has no such call and no AMX.
    """
    try:
        system_call = ctypes.CDLL(None, use_errno=True).syscall
    except OSError as error:
        return f"no system calls through the C library: {error}"
    system_call.restype = ctypes.c_long
    arguments = (ctypes.c_long(n) for n in (_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA))
    if system_call(*arguments):
        return f"Linux refused the AMX tiles: {os.strerror(ctypes.get_errno())}"
    return None


@dataclass(frozen=True)
class Timed:
    """One call: when it began and ended on the wall clock, and what it took of the CPU, in seconds."""

    start: float
    end: float
    cpu_seconds: float


def timed(call: Callable[[], object]) -> Timed:
    """One call timed; the clocks themselves add about a microsecond.

    CPU time leaves out what the thread waits for a core. The hypervisor's waits it cannot leave out.
    """
    start, cpu_start = time.perf_counter(), time.thread_time()
    call()
    cpu_end, end = time.thread_time(), time.perf_counter()
    # Some sandboxes count CPU time in ticks: it may stand still, or run ahead of the wall clock.
    cpu_seconds = min(cpu_end - cpu_start or end - start, end - start)
    return Timed(start, end, cpu_seconds)


Chain = Callable[[int, int, int], int]
KernelFunction = Callable[[int, int], None]
ReadFunction = Callable[[int, int, int], int]

# Foreign functions of these types release Python's global lock while they run.
_CHAIN = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
_READ = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_void_p)


@functools.cache
def unavailable_reason() -> str | None:
    """Why no machine code can run here; None where it can."""
    if platform.system() != "Linux":
        return f"the micro-kernels need Linux, this is {platform.system()}"
    if platform.machine() not in {"x86_64", "AMD64"} or sys.maxsize <= 2**32:
        return (
            f"the micro-kernels are for x86-64, this is {platform.machine()} ({platform.architecture()[0]})"
        )
    try:
        _mapped(x86_64.ADD_CHAIN)
        _mapped(x86_64.IMUL_CHAIN)
    except OSError as error:
        return f"no executable memory: {error}"
    return None


@functools.cache
def chain(code: bytes) -> Chain:
    """A callable (iterations, start, operand) -> result modulo 2**64."""
    return cast("Chain", _CHAIN(_mapped(code).address))


@functools.cache
def kernel_function(code: bytes) -> KernelFunction:
    """A callable (iterations, address of the accumulators) that fills the accumulators."""
    return cast("KernelFunction", _KERNEL(_mapped(code).address))


@functools.cache
def read_function(code: bytes) -> ReadFunction:
    """A callable (passes, address, bytes) -> the sum of the 64-bit words it read, modulo 2**64."""
    return cast("ReadFunction", _READ(_mapped(code).address))


@dataclass(frozen=True)
class _Mapping:
    """Executable memory; `memory` keeps it mapped."""

    address: int
    memory: mmap.mmap


@functools.cache
def _mapped(code: bytes) -> _Mapping:
    """Pages of its own with the code in them. OSError where the system refuses."""
    memory = mmap.mmap(
        -1,
        len(code),
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
        prot=mmap.PROT_READ | mmap.PROT_WRITE,
    )
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    library = ctypes.CDLL(None, use_errno=True)
    refused = library.mprotect(
        ctypes.c_void_p(address), ctypes.c_size_t(len(code)), mmap.PROT_READ | mmap.PROT_EXEC
    )
    if refused:
        number = ctypes.get_errno()
        raise OSError(number, f"mprotect: {os.strerror(number)}")
    return _Mapping(address, memory)
