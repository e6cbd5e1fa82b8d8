"""What this machine can reach at most: compute by dtype, bandwidth by memory level."""
