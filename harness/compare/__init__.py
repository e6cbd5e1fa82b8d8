"""Base against candidate: ratios, intervals, decisions."""
