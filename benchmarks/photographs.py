"""Public sets of pictures: accuracy and seconds of `dvc repro`, first / after 10 % more, small network and backbone.

Packages hold the sets, and are kept in ``~/.cache/retrain-benchmarks``; of the planets see `benchmarks.rounds`.
"""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random

import yaml
from PIL import Image

from benchmarks.growth import measure
from benchmarks.rounds import PLANETS
from examples.workspace import PROJECT, clone_project
from helpers.comparison.statistics import wilson
from helpers.comparison.words import percent
from helpers.hashing import sha256_of
from helpers.pipeline.params import PrepareParams, read_params
from helpers.pipeline.paths import METRICS, PARAMS, RAW
from helpers.pipeline.prepare import is_held_out

CACHE = Path.home() / ".cache/retrain-benchmarks"
BACKBONES = ("none", "backbones/efficientnet-lite0.onnx")  # train.backbone
STAMPS = ("birds", "insects", "mammals", "fruit", "vegetables", "flowers", "houses", "roadsigns")
DVC = (sys.executable, "-m", "dvc")
ROW = "| {:27} | {:>8} | {:>7} | {:>8} | {:>23} | {:>23} | {:>16} | {:>13} |"

Picture = tuple[str, Path]  # its label and its file
Sets = dict[str, list[Picture]]  # by name


def fetch(name: str, download_and_unpack: str) -> Path:
    """Return a folder of the cache; a shell command fills it the first time."""
    folder, part = CACHE / name, CACHE / f"{name}.part"  # the latter until it is whole
    if not folder.is_dir():
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        subprocess.run(["sh", "-c", download_and_unpack], cwd=part, check=True, capture_output=True)
        part.rename(folder)
    return folder


def fetch_debian(package: str) -> Path:
    """Return the folder with the files of a Debian package, for which nobody needs to be root."""
    return fetch(package, f"apt-get download {package} && dpkg-deb -x *.deb . && rm *.deb")


def stamps() -> Sets:
    """Tux Paint's: cut-out photographs and drawings, without mirror images: their originals may be trained on."""
    root = fetch_debian("tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    files = ((label, file) for label in STAMPS for file in sorted(root.glob(f"*/{label}/**/*.png")))
    return {"Tux Paint's stamps": [(label, file) for label, file in files if not file.stem.endswith("_mirror")]}


def emoji() -> Sets:
    """Twitter's (CC-BY 4.0), by category; a component is a part of others, such as a colour of hair."""
    package = "emoji-datasource-twitter@16.0.0"
    root = fetch(package, f"npm pack --silent {package} && tar -xzf *.tgz && rm *.tgz") / "package"
    rows = json.loads((root / "emoji.json").read_text(encoding="utf-8"))
    pictures = [(row["category"], root / "img/twitter/64" / row["image"]) for row in rows]
    return {"Twitter's emoji": [(label, file) for label, file in pictures if label != "Component"]}


def garments() -> Sets:
    """Draw a sample of Fashion-MNIST: grey, 28 × 28 pixels."""
    root = fetch_debian("dataset-fashion-mnist")
    labels, pixels = (gzip.decompress(next(root.rglob(f"train-{part}*")).read_bytes()) for part in ("labels", "images"))
    pictures = []
    for number in Random(0).sample(range(60_000), 2_500):
        start = 16 + number * 784  # after the header
        file = root / f"{number}.png"
        Image.frombytes("L", (28, 28), pixels[start : start + 784]).save(file)
        pictures.append((str(labels[8 + number]), file))
    return {"Fashion-MNIST": pictures}


def planets() -> Sets:
    """The planets: all that are held out, with a few others of each class."""
    params = read_params(PrepareParams, PROJECT / PARAMS)
    held_out: list[Picture] = []
    others: dict[str, list[Picture]] = {}
    for folder in sorted((PLANETS / "raw").iterdir()):
        others[folder.name] = []
        for file in sorted(folder.iterdir()):
            kept = is_held_out(sha256_of(file), params.seed, params.validation_fraction)
            (held_out if kept else others[folder.name]).append((folder.name, file))
    return {
        f"planets, up to {number} a class": sum((some[:number] for some in others.values()), held_out)
        for number in (5, 10, 20, 150)
    }


def add_pictures(pictures: Iterable[Picture], folder: Path) -> None:
    """Add pictures to a training set, numbered on: files of several folders may have the same name."""
    for number, (label, file) in enumerate(pictures, start=len(list((folder / RAW).glob("*/*")))):
        target = folder / RAW / label / f"{number}{file.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    measure([*DVC, "add", "--quiet", RAW], folder)


def train(folder: Path, pictures: list[Picture], backbone: str) -> tuple[int, str, str]:
    """Train in a new workspace, and again after a round: held-out images, accuracy, and the seconds of both."""
    clone_project(folder)
    params = yaml.safe_load((folder / PARAMS).read_text(encoding="utf-8"))
    params["train"]["backbone"] = backbone
    (folder / PARAMS).write_text(yaml.safe_dump(params), encoding="utf-8")
    if backbone != "none":
        measure([sys.executable, "-m", "examples.efficientnet_lite0"], folder)
    add_pictures(pictures[: len(pictures) * 9 // 10], folder)
    first = measure([*DVC, "repro", "--quiet"], folder)[0]
    add_pictures(pictures[len(pictures) * 9 // 10 :], folder)
    later = measure([*DVC, "repro", "--quiet"], folder)[0]
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    images, accuracy = metrics["images"], metrics["accuracy"]
    low, high = wilson(accuracy * images, images)
    return images, f"{percent(accuracy)} ({100 * low:.1f} to {100 * high:.1f})", f"{first:.1f} / {later:.1f}"


def main(folder: Path) -> None:
    """Print a row for each set that can be had: accuracy with its 95 % interval, seconds at first / after the round."""
    sets: Sets = {}
    for gather in (stamps, emoji, garments, planets):
        try:
            sets |= gather()
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"No {gather.__name__} here: {error}")
    networks = ("small network", "backbone")
    print(ROW.format("", "pictures", "classes", "held out", *networks, *(f"{one}, s" for one in networks)))
    print(ROW.format(*["---"] * 8))
    for name, pictures in sets.items():
        Random(0).shuffle(pictures)
        results = [train(folder / f"{name} {number}", pictures, one) for number, one in enumerate(BACKBONES)]
        images, accuracies, seconds = zip(*results, strict=True)
        print(ROW.format(name, len(pictures), len(dict(pictures)), images[0], *accuracies, *seconds), flush=True)
