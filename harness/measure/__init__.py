"""The stopwatch and what surrounds it: devices, ceilings, the machine's facts, the conductor."""
