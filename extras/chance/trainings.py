"""Train further models with other seeds, in a process beside the training of the new one, or after it.

``python -m extras.chance.trainings <commit of the old model> <number on the old data> <number on the new>`` writes what
`train_further` returns as JSON.
"""

import atexit
import gc
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers.pipeline.backbone import read_backbone
from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier, Description
from helpers.pipeline.params import DEFAULTS, PrepareParams, TrainParams, read_params
from helpers.pipeline.paths import INDEX, PARAMS, TRAINING_SECONDS, read_table
from helpers.pipeline.trial import train_and_predict
from helpers.problems import Problem
from helpers.round.past import load_past
from helpers.workspace import Workspace

QUICK, BEARABLE = 10, 20  # seconds of a training


class Answers(NamedTuple):
    """The classes that further models of the old and of the new data give to today's held-out images, `files`."""

    files: list[str]
    old: list[list[str]]
    new: list[list[str]]


def choose_trainings(workspace: Workspace, seeds: int) -> tuple[int, int]:
    """Return the number of further trainings on the old data and on the new one.

    So many `seeds` are trained on each side. A negative number means two where the last training took less than 10
    seconds; where it took less than 20, three on the old data alone. A `Problem` tells why nothing is trained.
    """
    if seeds > 0:
        return seeds, seeds
    if seeds == 0:
        raise Problem("`control_seeds` is 0.")
    seconds = float("inf")
    with suppress(OSError, ValueError):
        seconds = float((workspace.root / TRAINING_SECONDS).read_text())
    if seconds < BEARABLE:
        return (2, 2) if seconds < QUICK else (3, 0)
    taken = f"a training takes {seconds:.0f} seconds" if seconds < float("inf") else "no training here was timed"
    raise Problem(f"{taken}; `control_seeds=2` trains twice more on the old data and on the new.")


class FurtherTrainings:
    """Further trainings beside the stage ``train``: a listener for `helpers.round.training.retrain`.

    They begin with that stage, end when it is stopped, and begin when they are asked for where it did not run.
    """

    def __init__(self, workspace: Workspace, baseline: str, seeds: int) -> None:
        self.seeds = seeds
        self._workspace, self._baseline = workspace, baseline
        self._process: subprocess.Popen[str] | None = None
        self._commit = ""  # of the old model in the process

    def tell(self, line: str) -> bool:
        """Begin when DVC says that it runs the stage."""
        if line == "Running stage 'train':":
            with suppress(Problem):  # which is told when they are asked for
                self._start(self._workspace.commit_of(self._baseline))
        return False

    def end(self, finished: bool) -> None:
        """End with a training that was stopped."""
        if not finished:
            self.stop()

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def read_answers(self, commit: str) -> Answers:
        """Wait for the answers of models beside the old one of this commit; a `Problem` tells why there are none."""
        if self._commit != commit or not self._process:
            self._start(commit)
        assert self._process is not None
        told, said = self._process.communicate()
        failed, self._process = self._process.returncode, None
        if failed:
            raise Problem(f"further trainings failed: {' '.join(said.split()[-50:])}")
        result = json.loads(told)
        if "problem" in result:
            raise Problem(result["problem"])
        return Answers(**result)

    def _start(self, commit: str) -> None:
        self.stop()
        self._commit = commit
        self._process = start_process(self._workspace, commit, choose_trainings(self._workspace, self.seeds))


def start_process(workspace: Workspace, commit: str, extra: tuple[int, int]) -> subprocess.Popen[str]:
    """Start further trainings in the workspace, apart from the group of this process: only `stop` interrupts them."""
    command = [sys.executable, "-m", "extras.chance.trainings", commit, *map(str, extra)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=workspace.root, stdout=pipe, stderr=pipe, text=True, process_group=0)


def train_further(workspace: Workspace, commit: str, extra: tuple[int, int]) -> Answers:
    """Train models on the old data of a commit and on today's, so many each, and let them answer for today's images.

    Old models have the settings of the commit, new ones today's. Nothing in the workspace changes. A `Problem` tells
    that the old data is not known, or not there any more.
    """
    today = read_table((workspace.root / INDEX).read_bytes())
    held_out = today[today["split"] == "held-out"]
    old_model, old_index = _read_old_data(workspace, commit, today)
    params = read_params(TrainParams, workspace.root / PARAMS)
    backbone = read_backbone(workspace.root, params.backbone)
    prepare = read_params(PrepareParams, workspace.root / PARAMS)
    seen = backbone.input if backbone else Input(prepare.image_size, prepare.colour)
    new_model = Classifier(b"", Description(tuple(sorted(today["label"].unique())), seen), backbone)

    def train(model: Classifier, index: pd.DataFrame, settings: TrainParams, number: int) -> list[list[str]]:
        seeds = range(settings.seed + 1, settings.seed + 1 + number)
        trials = [settings.model_copy(update={"seed": seed}) for seed in seeds]
        return [train_and_predict(workspace.root, index, model, held_out, trial).tolist() for trial in trials]

    old_settings = workspace.load(PARAMS, commit).get("train") or {}
    old_params = TrainParams(**{name: old_settings.get(name, default) for name, default in DEFAULTS["train"].items()})
    old = train(old_model, old_index, old_params, extra[0])
    return Answers(held_out["file"].tolist(), old, train(new_model, today, params, extra[1]))


def _read_old_data(workspace: Workspace, commit: str, today: pd.DataFrame) -> tuple[Classifier, pd.DataFrame]:
    """Return the old model and its index, with the names that its images have today."""
    model, index = load_past(workspace, commit)
    if model is None or index is None:
        raise Problem("the commit of the old model has no index of its images.")
    index["file"] = index["sha256"].map(dict(zip(today["sha256"], today["file"], strict=True)))
    if gone := int(index["file"].isna().sum()):
        raise Problem(f"{gone:,} of the {len(index):,} images of the old model are gone.")
    return model, index


def main() -> None:
    """Write the answers of further models, or the problem with them."""
    atexit.register(gc.freeze)  # as in `helpers.pipeline.stage.run_stage`
    commit, old, new = sys.argv[1:]
    try:
        print(json.dumps(train_further(Workspace(Path.cwd()), commit, (int(old), int(new)))._asdict()))
    except Problem as problem:
        print(json.dumps({"problem": problem.headline}))


if __name__ == "__main__":
    main()
