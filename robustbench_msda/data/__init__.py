"""Data sets: the known ones, the user's own, how they are prepared, opened, fingerprinted and checked. No torch."""
