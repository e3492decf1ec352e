"""Labels and files → a plan → data/raw, with the lineage of every image."""
