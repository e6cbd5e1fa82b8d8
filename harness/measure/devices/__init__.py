"""The one seam to the hardware: clock, synchronisation, memory counters, energy."""
