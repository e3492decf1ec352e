"""An export of Label Studio → one row per annotation → one label per image."""

from helpers.labels.consensus import ON_DISAGREEMENT, read_export

__all__ = ["ON_DISAGREEMENT", "read_export"]
