"""Series of measurements over time: their change points, and whether a change on several hosts points at code or hardware."""
