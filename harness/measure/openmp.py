"""How OpenMP threads wait, set before torch loads.

libgomp's threads spin for milliseconds at a barrier before they sleep. When one more task
needs a core, a product of 7 µs takes 32 ms, with a spread so small that noise
statistics do not show it. Waiting passively (`OMP_WAIT_POLICY=PASSIVE`) avoids that and costs a wake-up
a call: 5 µs became 77 µs on a virtual machine. A short spin costs nothing when quiet and bounds the
loss otherwise: docs/pages/explanation/measured has the table.
"""

import os
import sys

# Iterations of the spin loop of libgomp: about 0.4 ms at most on a current x86 core.
SPIN_COUNT = "10000"
# The same for libiomp5, in milliseconds.
BLOCK_TIME = "1"
CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def bound_spinning() -> bool:
    """Makes OpenMP threads spin briefly, then sleep; keeps a setting of the user.

    Returns whether the policy is in force: False when torch was loaded before, as the OpenMP
    library reads its environment once.
    """
    if "torch" in sys.modules:
        return any(name in os.environ for name in CHOICES)
    if not any(name in os.environ for name in CHOICES):
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
        os.environ["KMP_BLOCKTIME"] = BLOCK_TIME
    return True
