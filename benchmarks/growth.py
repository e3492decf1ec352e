"""How time and memory of each step grow with the number of images: 1,000, 10,000 and 50,000 of 224 × 224 pixels.

The images are crops of those at hand (see `benchmarks.rounds`). Writes ``growth.json``.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from benchmarks.rounds import PLANETS
from examples.digits import write_digits
from examples.workspace import clone_project
from helpers.pipeline.near_duplicates import pair_near_duplicates
from helpers.pipeline.paths import PARAMS, RAW

SIZES = (1_000, 10_000, 50_000)
WIDTH = 224  # pixels
HASHES = 200_000


def write_crops(sources: Sequence[Path], raw: Path, numbers: range) -> None:
    """Write a random crop of one of the sources for each number."""

    def write(number: int) -> None:
        chance = np.random.default_rng(number)
        source = sources[int(chance.integers(len(sources)))]
        with Image.open(source) as image:
            left, top, right, bottom = chance.uniform((0, 0, 0.8, 0.8), (0.2, 0.2, 1, 1))
            box = (left * image.width, top * image.height, right * image.width, bottom * image.height)
            crop = image.convert("RGB").resize((WIDTH, WIDTH), box=box)
        target = raw / source.parent.name / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        crop.save(target, quality=85)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, numbers))


def measure(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory in megabytes."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, env=os.environ | {"PATH": path}, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - started, usage.ru_maxrss / 1000


def measure_steps(sources: Sequence[Path], folder: Path, images: int) -> dict[str, tuple[float, float]]:
    """Measure each step in a new workspace: seconds and megabytes."""
    clone_project(folder)
    write_crops(sources, folder / RAW, range(images))
    params = yaml.safe_load((folder / PARAMS).read_text(encoding="utf-8"))
    params["prepare"]["image_size"], params["train"]["epochs"] = WIDTH, 1
    (folder / PARAMS).write_text(yaml.safe_dump(params), encoding="utf-8")

    def stage(name: str) -> list[str]:
        return [sys.executable, "-m", f"helpers.pipeline.{name}"]

    dvc = [sys.executable, "-m", "dvc"]
    steps = {
        "dvc add": measure([*dvc, "add", "--quiet", RAW], folder),
        "prepare": measure(stage("prepare"), folder),
        "train, one epoch": measure(stage("train"), folder),
        "evaluate": measure(stage("evaluate"), folder),
    }
    subprocess.run([*dvc, "commit", "--force", "--quiet"], cwd=folder, check=True)
    steps["dvc repro, nothing to do"] = measure([*dvc, "repro", "--quiet"], folder)
    write_crops(sources, folder / RAW, range(images, images + images // 100))
    steps["prepare, 1 % more images"] = measure(stage("prepare"), folder)
    steps["dvc repro of these"] = measure([*dvc, "repro", "--quiet"], folder)
    return steps


def main(folder: Path) -> None:
    """Print the time and the peak memory of each step at each size, and the time that each further image takes."""
    if PLANETS.is_dir():
        sources = sorted((PLANETS / "raw").glob("*/*"))
    else:
        write_digits(folder / "digits")
        sources = sorted((folder / "digits" / RAW).glob("*/*"))
    sizes = {images: measure_steps(sources, folder / str(images), images) for images in SIZES}
    Path("growth.json").write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")

    print(
        f"{'':26}"
        + "".join(f"{f'{images:,} images':>22}" for images in SIZES)
        + "   ms for each further image, a million"
    )
    for step in sizes[SIZES[0]]:
        seconds = np.array([sizes[images][step][0] for images in SIZES])
        memory = [sizes[images][step][1] for images in SIZES]
        slopes = np.diff(seconds) / np.diff(SIZES)
        million = seconds[-1] + slopes[-1] * (1_000_000 - SIZES[-1])
        row = "".join(f"{time:10.1f} s {peak:6.0f} MB" for time, peak in zip(seconds, memory, strict=True))
        print(f"{step:26}{row}   {1000 * slopes[0]:6.2f} then {1000 * slopes[1]:5.2f}, {million / 60:5.0f} min")

    hashes = np.random.default_rng(0).integers(0, 256, (HASHES, 32), dtype=np.uint8)
    split = np.where(np.arange(HASHES) % 5, "train", "held-out")
    index = pd.DataFrame({"file": np.arange(HASHES).astype(str), "label": "", "split": split})
    started = time.perf_counter()
    pair_near_duplicates(index, hashes)
    print(f"{HASHES:,} perceptual hashes compared: {time.perf_counter() - started:.1f} s")
