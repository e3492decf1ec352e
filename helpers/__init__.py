"""Retrain an image classifier from Label Studio labels: what the notebooks and the DVC stages call."""
