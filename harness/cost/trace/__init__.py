"""Finds out what a call does without computing it: operators, work, memory.

Its tensors are fake: they have a shape, a dtype and a device, and no values. Small tensors of integers are real,
so that code that looks at indices or lengths runs as it would; code that looks at computed values cannot be traced.
"""

from harness.cost.trace.tracer import Traced, UntraceableError, trace

__all__ = ["Traced", "UntraceableError", "trace"]
