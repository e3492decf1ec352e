"""What ``dvc.yaml`` runs: one module, one stage, each started as ``python -m helpers.stages.<name>``."""
