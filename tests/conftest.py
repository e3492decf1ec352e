"""What the tests share: sample workspaces on disk, and commands run in them as a user would."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import yaml
from filelock import FileLock
from hypothesis import settings
from PIL import Image
from round_steps import PLANETS

from examples.workspace import PROJECT, make_workspace
from helpers.pipeline.paths import RAW
from helpers.workspace import Workspace

BIN = Path(sys.executable).parent

settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=200, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_collection_modifyitems(items):
    """Begin with whole rounds: at the end, one process would wait for the other to finish them."""
    items.sort(key=lambda item: item.path.name != "test_retrain.py")


@pytest.fixture(scope="session", autouse=True)
def plain_home(tmp_path_factory):
    """Every command runs for a user with an empty home folder, no git identity and no DVC settings."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", str(home))
    patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    yield home
    patch.undo()


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Make a folder once for all processes that run tests side by side."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def pristine(once, plain_home) -> Path:
    """The sample, made once; tests work on copies."""
    from examples.digits import make_digits  # takes a second, and only slow tests need it

    return once("pristine", lambda folder: make_digits(folder / "demo")) / "demo"


@pytest.fixture(scope="session")
def pristine_tiny(once, plain_home) -> Path:
    """A workspace that trains in no time, made once; tests work on copies."""
    return once("tiny", lambda folder: make_workspace(folder / "demo", write_tiny, "Train the baseline")) / "demo"


def write_tiny(root: Path) -> None:
    """Two classes of twelve bright and dark pictures, eight more with their labels in an export, and one epoch."""
    tasks = []
    for number in range(32):
        label = ("dark", "light")[number % 2]
        path = root / "extra-data" / f"{number}.png" if number >= 24 else root / "data/raw" / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 30 + 3 * number + 100 * (label == "light")).save(path)
        if number >= 24:
            row = {"image": f"/data/upload/1/01234567-{path.name}", "id": number, "choice": label, "annotator": 1}
            stamp = f"2026-01-05T09:00:{number}.000000Z"
            row |= {"annotation_id": number, "created_at": stamp, "updated_at": stamp, "lead_time": 2.5}
            tasks.append(row)
    (root / "extra-data/annotations.json").write_text(json.dumps(tasks))
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 1").replace("width: 16", "width: 2"))


@pytest.fixture(scope="session")
def pristine_planets(once, plain_home) -> Path:
    """The planets with a trained baseline, made once; tests work on copies."""
    if not PLANETS.is_dir():
        pytest.skip("needs ../shared/planets")
    return once("planets", lambda folder: make_workspace(folder / "demo", copy_planets, "Train the baseline")) / "demo"


def copy_planets(root: Path) -> None:
    """The images of the training set, and those of two labelling rounds."""
    for part, target in (("raw", "data/raw"), ("extra", "extra-data")):
        shutil.copytree(PLANETS / part, root / target, copy_function=shutil.copyfile)


@pytest.fixture
def planets(pristine_planets, tmp_path) -> Workspace:
    """A workspace of one's own with the planets, with its remotes beside it."""
    shutil.copytree(pristine_planets.parent, tmp_path / "planets", symlinks=True)
    return Workspace(tmp_path / "planets" / "demo")


@pytest.fixture
def sample(pristine, tmp_path) -> Workspace:
    """A sample workspace of one's own, with its remotes beside it."""
    shutil.copytree(pristine.parent, tmp_path / "sample", symlinks=True)
    return Workspace(tmp_path / "sample" / "demo")


@pytest.fixture
def tiny(pristine_tiny, tmp_path) -> Workspace:
    """A tiny workspace of one's own, with its remotes beside it."""
    shutil.copytree(pristine_tiny.parent, tmp_path / "tiny", symlinks=True)
    return Workspace(tmp_path / "tiny" / "demo")


@pytest.fixture(scope="session")
def pristine_trained(tmp_path_factory) -> Path:
    """Two classes of 30 pictures, bright and dark, and a quick training, made once; tests work on copies."""
    from helpers.pipeline import evaluate, prepare, train  # PyTorch takes two seconds, and only some tests need it

    folder = tmp_path_factory.mktemp("trained")
    settings = yaml.safe_load((PROJECT / "params.yaml").read_text())
    settings["train"] |= {"epochs": 2, "width": 4}
    settings["prepare"] |= {"image_size": 16}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    chance = np.random.default_rng(0)
    for label, brightness in (("bright", 200), ("dark", 50)):
        (folder / RAW / label).mkdir(parents=True)
        for number in range(30):
            pixels = chance.integers(brightness - 40, brightness + 40, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / RAW / label / f"{number}.png")
    with chdir(folder):
        prepare.main()
        train.main()
        evaluate.main()
    return folder


@pytest.fixture
def trained(pristine_trained, tmp_path, monkeypatch) -> Path:
    """A trained folder of one's own; it is the current one, as it is for a stage."""
    monkeypatch.chdir(shutil.copytree(pristine_trained, tmp_path / "trained"))
    return tmp_path / "trained"


@pytest.fixture
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command to its end, and keep what it prints."""

    def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)

    return run
