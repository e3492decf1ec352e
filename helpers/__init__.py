"""Retrain an image classifier from Label Studio labels: what the notebooks and the DVC stages call."""

import sys
from importlib.util import find_spec

if _missing := [name for name in ("bentoml", "dvc", "matplotlib", "pandas", "sklearn", "torch") if not find_spec(name)]:
    raise ImportError(
        f"{sys.executable} lacks {', '.join(_missing)}. Activate the environment (`source .venv/bin/activate`), "
        "choose its kernel, or install what is missing (`pip install -r requirements.txt`)."
    )
