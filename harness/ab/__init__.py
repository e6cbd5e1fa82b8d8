"""Base against candidate on this host, now: `plumbline ab`, and `plumbline gate`, which is the same for a pull request."""
