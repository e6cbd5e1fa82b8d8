"""Facts about the machine that every run records."""
