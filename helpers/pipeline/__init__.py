"""The stages that dvc.yaml runs (prepare, train, evaluate), with the network and the model's file."""
