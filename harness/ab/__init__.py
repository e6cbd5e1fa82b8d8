"""Base against candidate, interleaved on this host: `plumbline ab` and `plumbline gate`."""
