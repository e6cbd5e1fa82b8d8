"""Claims and their verdicts: holds, fails, inconclusive. Works from records alone."""
