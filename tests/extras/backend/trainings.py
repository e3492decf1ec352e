"""What the tests of trainings share: settings, the button of Label Studio, and stand-ins for the notebook."""

import sys
from typing import Any

import httpx2

PASSWORD = "s3cret-of-the-backend"
RIGHT = httpx2.BasicAuth("label-studio", PASSWORD)
ON: dict[str, Any] = {"backend_password": PASSWORD, "retrain_project": 7, "label_studio_url": "http://127.0.0.1:9"}
BUTTON = {"action": "START_TRAINING", "project": {"id": 7}}


def command(code: str) -> list[str]:
    """Stands in for the notebook."""
    return [sys.executable, "-c", f"import os, pathlib, sys, time\n{code}"]


def training(backend: httpx2.Client) -> dict[str, Any]:
    """What /versions tells of trainings."""
    return backend.get("/versions", auth=RIGHT).json()["training"]
