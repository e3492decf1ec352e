"""What ``dvc.yaml`` runs: one module, one stage, each started as ``python -m helpers.stages.<name>``."""

import os

# PyTorch's threads otherwise spin while they wait, and on a busy machine training takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
