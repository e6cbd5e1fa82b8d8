"""Series of measurements over time: where their level changed, and what a change on several hosts points at."""
