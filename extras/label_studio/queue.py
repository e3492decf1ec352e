"""Choose the images that people label first: those that the model is least certain of, and some that chance picks."""

import itertools
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.decode import SUFFIXES
from helpers.files import is_text, list_files, read_training_set
from helpers.hashing import draw, hash_all, sha256_of_image
from helpers.labels.fields import CHANCE, LEAST_CERTAIN
from helpers.pipeline.backbone import feature_cache
from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier
from helpers.pipeline.near_duplicates import pair_near_duplicates
from helpers.pipeline.paths import HASHES, RAW
from helpers.pipeline.pixels import picture_cache

REASONS = (LEAST_CERTAIN, CHANCE, "near-duplicate")
# One picture of each group in turn gave the accuracy of the least certain ones with a quarter fewer labels on two sets.
GROUPS = 50

logger = logging.getLogger(__name__)


def read_images(root: Path, folder: Path, seen: Input) -> pd.DataFrame:
    """Read the images below a folder, as a network with this input sees them. Broken files are logged and left out.

    Hashes and pixels go through the caches of the workspace at `root`. Each content has one row, by its ``sha256``: the
    first ``file`` that has it, relative to `folder`, and its perceptual ``hash``, uint8 [32].
    """
    files = [file for file in list_files(folder) if Path(file).suffix.lower() in SUFFIXES]
    for file in itertools.filterfalse(is_text, files):
        logger.warning("%a has a name that is not UTF-8.", file)
    paths = {f"{folder}/{file}": file for file in filter(is_text, files)}
    contents, broken = hash_all(paths, sha256_of_image, root / HASHES, "Reading images")
    for path, reason in broken.items():
        logger.warning("%s is no picture: %s", path, reason)
    pictures = {file: contents[path] for path, file in paths.items() if path in contents}
    return _read_pictures(root, folder, pictures, seen)


def read_trained(root: Path, seen: Input) -> pd.DataFrame:
    """Read the training set of the workspace at `root` like `read_images`, with a `Problem` for unreadable files."""
    return _read_pictures(root, root / RAW, read_training_set(root / RAW, root / HASHES), seen)


def _read_pictures(root: Path, folder: Path, pictures: Mapping[str, str], seen: Input) -> pd.DataFrame:
    """Return the table of `read_images` for pictures below a folder, given the SHA-256 of each."""
    images = pd.DataFrame({"file": list(pictures), "sha256": list(pictures.values())}).drop_duplicates("sha256")
    cache = picture_cache(root, seen)
    broken = cache.fill(folder, images)
    for file, reason in broken.items():
        logger.warning("%s/%s is no picture: %s", folder, file, reason)
    images = images[~images["file"].isin(list(broken))].set_index("sha256")
    return images.assign(hash=list(cache.open(images.index).notes))


def find_near_duplicates(images: pd.DataFrame, labelled: pd.DataFrame) -> list[str]:
    """The SHA-256 of each image that nearly equals one that has a label; both tables from `read_images`."""
    if images.empty or labelled.empty:
        return []
    both = pd.concat([images, labelled])
    split = np.repeat(["held-out", "train"], [len(images), len(labelled)])
    index = pd.DataFrame({"file": both.index, "label": "", "split": split})
    return pair_near_duplicates(index, np.stack(list(both["hash"])))["file"].tolist()


def plan_queue(
    model: Classifier, root: Path, folder: Path, images: pd.DataFrame, labelled: pd.DataFrame, random_share: float
) -> pd.DataFrame:
    """Ask the model about the images of a folder, and put them in the order in which people should label them.

    Both tables are from `read_images` in the workspace at `root`; `images` has the ``scene`` of each, too, empty if it
    has none. Returns the columns of `order_queue` and, for each image, its ``file``, its ``scene``, the ``label`` that
    the model gives it (str) and how sure it is of that: ``confidence`` (float), 0 to 1.
    """
    opinions = model.predict(root, folder, images.reset_index()).set_axis(images.index)
    confidence = opinions.max(axis=1).astype(float)
    alike: np.ndarray | int = 0
    if model.backbone and len(images):
        alike = group_alike(feature_cache(root, model.backbone).read(folder, images.reset_index())[:])
    scenes = images["scene"].where(images["scene"] != "", images.index.astype(object))
    queue = order_queue(confidence, find_near_duplicates(images, labelled), random_share, alike, scenes)
    return queue.join(images[["file", "scene"]].assign(label=opinions.idxmax(axis=1), confidence=confidence))


def group_alike(features: np.ndarray) -> np.ndarray:
    """Return the number of the group of alike pictures that each belongs to, from features [N, features]."""
    from sklearn.cluster import KMeans  # takes two seconds, and only a model with a backbone needs it

    directions = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    return KMeans(min(GROUPS, len(features)), n_init=1, random_state=0).fit_predict(directions)


def order_queue(
    confidence: pd.Series,
    near: list[str],
    random_share: float,
    alike: np.ndarray | int = 0,
    scenes: pd.Series | None = None,
) -> pd.DataFrame:
    """Put images in the order in which people should label them.

    The model's least certain ones come first (least-confidence sampling, Lewis and Gale 1994). Images in the same group
    of `alike` ones, numbers [N] from `group_alike`, teach the same: one of each comes, then the next of each. So it is
    with those of one of the `scenes`, names [N], of every kind. A share is picked by content alone and spread evenly
    among them: images that are held out later would otherwise all be hard ones. Images that nearly equal a labelled
    one, `near`, come last.

    `confidence` has the highest probability of each image, 0 to 1, by the SHA-256 of its content. Returns, in that
    order, its ``reason``, one of `REASONS`, and its place in the ``queue``: 0 to 1 within its kind, and 1 more for
    near-duplicates. So images that are pushed later find their place between those that are there.
    """
    picked = draw(confidence.index, "random_share", random_share)
    kinds = np.select([confidence.index.isin(near), picked], [2, 1], 0)

    # Each kind is ranked in itself, that of chance by content, and its places are spread evenly over 0 to 1.
    ranks = {"kind": kinds, "rank": np.where(kinds == 1, 0, confidence), "group": np.where(kinds == 0, alike, 0)}
    table = pd.DataFrame(ranks, confidence.index).rename_axis("sha256").sort_values(["rank", "sha256"])
    table["turn"] = table.groupby(["kind", "group"]).cumcount()
    table = _spread(table.sort_values(["turn", "rank", "sha256"]))
    if scenes is not None:
        turn = table.groupby(scenes.loc[table.index].to_numpy()).cumcount()
        table = _spread(table.loc[turn.sort_values(kind="stable").index])
    table["reason"] = np.array(REASONS, dtype=object)[table["kind"]]
    return table[["queue", "reason"]]


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    """Spread the images of each kind, in this order, evenly over the queue, and sort them by their places there."""
    by_kind = table.groupby("kind")["kind"]
    place = (by_kind.cumcount() + 0.5) / by_kind.transform("size")
    table = table.assign(queue=(place + (table["kind"] == 2)).round(6))
    return table.sort_values(["queue", "kind", "sha256"])
