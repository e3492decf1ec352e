"""Stage ``prepare``: data/raw/<label>/… → data/prepared: index.csv and near_duplicates.csv."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.files import class_of, read_training_set
from helpers.pipeline.input import Input
from helpers.pipeline.near_duplicates import pair_near_duplicates
from helpers.pipeline.params import PrepareParams, read_params
from helpers.pipeline.paths import HASHES, INDEX, NEAR_DUPLICATES, RAW, SCENES
from helpers.pipeline.pixels import picture_cache
from helpers.pipeline.stage import run_stage
from helpers.problems import Problem
from helpers.scenes import name_scenes, read_scenes


def is_held_out(scene: str, seed: int, fraction: float) -> bool:
    """Decide from its scene alone whether an image is kept from training; another seed decides independently.

    An image without a named scene is a scene of its own, whose name is the SHA-256 of its content. Neither its label
    nor other images matter: an image that is held out stays held out as the data grows.
    """
    return int.from_bytes(hashlib.sha256(f"{scene}:{seed}".encode()).digest()[:8]) < fraction * 2**64


def index_images(images: Mapping[str, str], scenes: Mapping[str, str], params: PrepareParams) -> pd.DataFrame:
    """List the images, SHA-256 by file, with their labels and sides; ``scene`` is a column only where one is named.

    `scenes` are the recorded ones, from `helpers.scenes.read_scenes`. A `Problem` tells that ``prepare.scene`` fits no
    file name.
    """
    names = [(file.partition("/")[2], sha256) for file, sha256 in images.items()]
    if params.scene_pattern and not name_scenes(names, {}, params.scene_pattern):
        raise Problem(
            f"prepare.scene = {params.scene!r} fits the name of no image.",
            [f"for example: {name}" for name, _ in names[:3]],
            "The pattern is searched in the path below data/raw/<label>/. Correct it in params.yaml.",
        )
    named = name_scenes(names, scenes, params.scene_pattern)
    scenes_of_images = [named.get(sha256, sha256) for sha256 in images.values()]
    held_out = [is_held_out(scene, params.seed, params.validation_fraction) for scene in scenes_of_images]
    index = pd.DataFrame(
        {
            "file": list(images),
            "label": list(map(class_of, images)),
            "split": np.where(held_out, "held-out", "train"),
            "sha256": list(images.values()),
        }
    )
    return index.assign(scene=scenes_of_images) if named else index


def main() -> None:
    """Decode the images that are new, report all files that cannot be decoded, and write the index of all."""
    params = read_params(PrepareParams)
    images = read_training_set(Path(RAW), Path(HASHES))
    index = index_images(images, read_scenes(Path(SCENES)), params)
    pictures = picture_cache(Path(), Input(params.image_size, params.colour)).read(Path(RAW), index)
    classes, kept = index["label"].nunique(), int((index["split"] == "held-out").sum())
    scenes = index["scene"].nunique() if "scene" in index else 0
    in_scenes = f" in {scenes:,} scene{'s' * (scenes > 1)}" if scenes else ""
    if classes < 2 or kept in (0, len(index)):
        raise Problem(
            f"{RAW} holds {len(index)} images of {classes} classes{in_scenes}, {kept} of them held out.",
            advice=f"Training needs images of two classes or more in {RAW}/<label>/, on both sides of the split.",
        )

    Path(INDEX).parent.mkdir(parents=True, exist_ok=True)
    index.to_csv(INDEX, index=False)
    pair_near_duplicates(index, pictures.notes).to_csv(NEAR_DUPLICATES, index=False)
    print(f"{len(index):,} images of {classes} classes{in_scenes}: {len(index) - kept:,} to train, {kept:,} held out")


if __name__ == "__main__":
    run_stage("prepare", main)
