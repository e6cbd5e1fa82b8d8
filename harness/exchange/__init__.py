"""Results of other tools in, stored runs out in their formats."""

from harness.exchange.foreign import Imported
from harness.exchange.incoming import imported, read
from harness.exchange.outgoing import FORMATS, exported, not_in_all

__all__ = ["FORMATS", "Imported", "exported", "imported", "not_in_all", "read"]
