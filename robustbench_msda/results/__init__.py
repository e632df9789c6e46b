"""The results folder: what was predicted, which checkpoint said so, and the scores of it."""
