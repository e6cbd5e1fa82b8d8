"""What this CPU may run: an instruction it lacks would kill the process.

/proc/cpuinfo and not CPUID, because Linux clears a flag there when it does not save the registers
that go with it (arch/x86/kernel/fpu/xstate.c).
"""

import ctypes
import functools
import os
import re
from pathlib import Path

from harness.measure.files import read

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
