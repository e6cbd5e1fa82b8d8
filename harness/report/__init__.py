"""What a person reads, made last, from records alone. Computes no number."""
