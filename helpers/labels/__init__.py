"""An export of Label Studio → one row per annotation → one label per image."""
