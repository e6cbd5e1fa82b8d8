"""Scaling laws: models of time against size, fitted to sweeps, with intervals. Works from records alone."""
