"""The scenes of images that wait for labels: the tasks carry them, so that an export has them in its field `SCENE`."""

from pathlib import Path

import pandas as pd

from helpers.pipeline.params import PrepareParams, read_params
from helpers.pipeline.paths import PARAMS, SCENES
from helpers.problems import Problem
from helpers.scenes import name_scenes, read_scenes

LIST = "scenes.csv"  # beside the images: columns file, relative to their folder, and scene


def name_images(root: Path, folder: Path, files: pd.Series) -> list[str]:
    """Name the scene of each image below a folder, empty where none is named; `files` have their SHA-256 as index.

    The list in the folder names them, or else the workspace at `root` does, as for images of the training set. A
    `Problem` tells that the list is damaged, or that it names files that are not there.
    """
    params = read_params(PrepareParams, root / PARAMS)
    names = ((Path(file).name, str(sha256)) for sha256, file in files.items())
    known = name_scenes(names, read_scenes(root / SCENES), params.scene_pattern)
    listed = _read_list(folder)
    return [listed.get(file) or known.get(str(sha256), "") for sha256, file in files.items()]


def _read_list(folder: Path) -> dict[str, str]:
    file = folder / LIST
    if not file.exists():
        return {}
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        scenes = dict(zip(table["file"], table["scene"], strict=True))
    except (ValueError, KeyError) as error:
        raise Problem(f"{file} cannot be read: {error}.", advice="Its columns are file and scene.") from None
    if missing := [name for name in scenes if not (folder / name).is_file()]:
        advice = "Name each file by its path below the folder of the list."
        raise Problem(f"{file} names files that are not there.", missing, advice)
    return scenes
