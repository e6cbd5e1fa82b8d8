"""What the CPU's cores can do at most: the true clock, and the FLOP/s of nothing but multiply-adds.

A few hundred bytes of machine code, called through ctypes: no compiler, no torch, no NumPy. The number
of FMA units cannot be read from CPUID and a virtual machine's nominal clock is not the real one, so both
are run. Where that is impossible there is a reason, never an error.
"""

from harness.measure.peaks.microkernel.catalogue import Kernel, kernels, unusable
from harness.measure.peaks.microkernel.executable import unavailable_reason
from harness.measure.peaks.microkernel.rates import Clock, Rate, bandwidth, clock_hz, peak, reader

__all__ = [
    "Clock",
    "Kernel",
    "Rate",
    "bandwidth",
    "clock_hz",
    "kernels",
    "peak",
    "reader",
    "unavailable_reason",
    "unusable",
]
