"""Networks: architectures, sources, normalisation, checkpoints. Light on purpose: ``names`` needs no torch."""
