"""The timer and what surrounds it: devices, peaks, the machine's facts, the runner."""
