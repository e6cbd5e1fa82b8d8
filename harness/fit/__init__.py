"""Scaling laws over sweeps: time against size, with intervals. Works from records alone."""
