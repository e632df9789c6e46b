"""Train and evaluate image classifiers under mixed-sample data augmentation."""

from __future__ import annotations

__version__ = "0.1.0"
