"""The stages that dvc.yaml runs: prepare, train, evaluate; and the model file that they make."""
