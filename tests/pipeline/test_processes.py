"""Several processes of torchrun train one model, as one process does."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from stages import PROJECT, run_stage

from helpers.pipeline import train
from helpers.pipeline.dataset import Dataset
from helpers.pipeline.input import Input
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import TrainParams
from helpers.pipeline.paths import INDEX, MODEL
from helpers.pipeline.train import count_threads

RECORD = """
import os
from pathlib import Path
from helpers.pipeline import dataset, train

def read_augmented(self, rows, device):
    with Path(os.environ["RANK"]).open("a") as file:
        print(*rows, file=file)
    return original(self, rows, device)

original, dataset.Dataset.read_augmented = dataset.Dataset.read_augmented, read_augmented
train.main()
"""


@pytest.mark.slow
def test_several_processes_train_one_model_and_pass_over_each_image_once_an_epoch(trained):
    """Also if their parts of a batch differ in size, so that each draws another number of random shifts."""
    (trained / MODEL).unlink()
    params = trained / "params.yaml"
    params.write_text(params.read_text().replace("batch_size: 32", "batch_size: 5"))
    (trained / "record.py").write_text(RECORD)
    result = run_stage(trained, "torchrun", "--standalone", "--nproc-per-node=2", "record.py")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("epoch  2/2") == 1
    assert load_classifier((trained / MODEL).read_bytes()).description.classes == ("bright", "dark")
    first, second = ((trained / rank).read_text().splitlines() for rank in "01")
    steps = len(first) // 2
    for epoch in (slice(0, steps), slice(steps, None)):
        rows = " ".join(first[epoch] + second[epoch]).split()
        assert sorted(map(int, rows)) == np.flatnonzero(pd.read_csv(trained / INDEX)["split"] == "train").tolist()


@pytest.mark.parametrize("launcher", ["tochrun --nproc-per-node=2", "torchrun '", "''"])
def test_a_launcher_that_cannot_be_run_is_named(trained, launcher):
    params = trained / "params.yaml"
    params.write_text(params.read_text().replace("launcher: python", f'launcher: "{launcher}"'))
    result = run_stage(trained, sys.executable, "-m", "helpers.pipeline.launch")
    assert result.returncode == 1
    assert "train.launcher" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_torchrun_starts_again_when_a_process_is_killed(trained):
    (trained / MODEL).unlink()
    params = trained / "params.yaml"
    settings = params.read_text().replace("epochs: 2", "epochs: 40")
    params.write_text(settings.replace(": python", ": torchrun --standalone --nproc-per-node=2 --max-restarts=1"))
    command = [sys.executable, "-m", "helpers.pipeline.launch"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # as the README says
    epochs: list[int] = []
    with subprocess.Popen(command, cwd=trained, env=environment, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout
        for line in launcher.stdout:
            if line.startswith("epoch"):
                epochs.append(int(line.split()[1].split("/")[0]))
            if epochs == [1, 2, 3] and line.startswith("epoch"):
                psutil.Process(launcher.pid).children()[-1].kill()
    assert launcher.returncode == 0
    assert epochs.count(1) == 2  # torchrun starts over: nothing of a training is kept
    assert epochs[-1] == 40
    assert load_classifier((trained / MODEL).read_bytes()).description.classes == ("bright", "dark")


@pytest.mark.parametrize(
    ("threads", "size", "backbone", "workers", "expected"),
    [
        (3, 512, None, 1, 3),
        ("auto", 64, None, 1, 1),
        ("auto", 65, None, 1, 8),
        ("auto", 224, None, 2, 4),
        ("auto", 224, None, 16, 1),
        ("auto", 224, "a backbone", 1, 1),
    ],
)
def test_threads_are_as_many_as_pay_off_unless_they_are_set(monkeypatch, threads, size, backbone, workers, expected):
    monkeypatch.setattr(train, "count_processors", lambda: 8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(workers))
    inputs: Any = np.zeros(0)
    assert count_threads(Dataset(inputs, Input(size), TrainParams(threads=threads), backbone)) == expected
