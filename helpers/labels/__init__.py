"""An export of Label Studio → one row per annotation → one label per image."""

from helpers.labels.consensus import read_export

__all__ = ["read_export"]
