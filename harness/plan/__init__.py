"""What a model needs, from its configuration alone: counts, memory, time. Loads no torch."""
