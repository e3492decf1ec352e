"""Pictures above their captions, as many side by side as the page is wide. Without pictures a gallery is None.

A gallery of your own is a `wall` of pictures:

    pictures = [Picture(root / file, file, [f"label: {label}"]) for file, label in labels.items()]
    wall(f"Labels of {who}", pictures)
"""

import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from helpers.comparison.words import count_of, left_out
from helpers.decode import UNREADABLE, read_upright
from helpers.figures.markup import Shown, render
from helpers.figures.style import COLOURS
from helpers.files import class_of

WIDTH, SHARP = 96, 2  # pixels of a picture's longer side on the page, and of its file for each of these at most
PROJECT = re.compile(r"((?i:https?)://\S+?/projects/(\d+))(?:[/?#]|$)")  # the address of a project, and its number


class Picture(NamedTuple):
    """A picture, and what stands below it: its name, lines of text, and its `tasks` as `task_pages` gives them.

    A line may be a pair: the colour of a square, and the text that follows it.
    """

    file: str | Path
    name: str
    lines: Sequence[str | tuple[str, str]] = ()
    tasks: Mapping[str, str] = {}

    def read(self) -> dict[str, Any] | None:
        """Read the picture for the page, small and as WebP; None if it cannot be read."""
        size = WIDTH * SHARP
        try:
            image = read_upright(self.file, size)
            image.thumbnail((size, size), reducing_gap=2.0)
        except UNREADABLE:
            return None
        longest, coded = max(image.size), io.BytesIO()
        image.convert("RGB").save(coded, "WEBP", quality=75, lossless=longest < WIDTH)
        return {"content": coded.getvalue(), "width": round(WIDTH * image.width / longest), "small": longest < WIDTH}


def wall(title: str, pictures: Collection[Picture]) -> Shown | None:
    """Show pictures below a title."""
    return walls({title: pictures}) if pictures else None


def walls(pictures: Mapping[str, Collection[Picture]]) -> Shown:
    """Show pictures below their titles; the first title is also the text. One without pictures is a sentence."""
    return Shown(render("gallery", walls=pictures, height=WIDTH), next(iter(pictures)))


def task_pages(tasks: Iterable[object], project: str) -> dict[str, str]:
    """Return the page of each task in the project of Label Studio at this address; it is empty if it is not known."""
    found = PROJECT.match(project)
    return {task: f"{found[1]}/data?task={task}" if found and task.isdecimal() else "" for task in map(str, tasks)}


def link_tasks(lineage: pd.DataFrame, project: str) -> dict[str, dict[str, str]]:
    """Return `task_pages` by the SHA-256 of an image, for the images of the project at this address."""
    found = PROJECT.match(project)
    ours = lineage[lineage["project"] == found[2]] if found else lineage[:0]
    return dict(zip(ours["sha256"], (task_pages(tasks.split(), project) for tasks in ours["task"]), strict=True))


def gallery(files: Collection[str | Path], captions: Collection[str], title: str, most: int = 16) -> Shown | None:
    """Show the first pictures, each above its caption; the title counts those that are left out."""
    pairs = list(zip(files, captions, strict=True))[:most]
    return wall(title + left_out(files, most), [Picture(file, Path(file).name, [line]) for file, line in pairs])


def unsettled(plan: pd.DataFrame, project: str = "", most: int = 50) -> Shown | None:
    """Show the images of a merge plan that somebody labelled, and that were left out or keep a newer label."""
    left_out_ones = (plan["action"] == "leave out") & ~plan["status"].isin(["unlabelled", "skipped"])
    overruled = (plan["action"] == "keep") & (plan["destination"].map(class_of) != plan["label"])
    images = plan[left_out_ones | overruled]
    pictures = []
    for image in images.head(most).to_dict("records"):
        answers = [f"{who}: {label}" for who, label in zip(image["annotators"], image["labels"], strict=False)]
        lines, tasks = [*answers, image["reason"]], task_pages(image["tasks"], project)
        pictures.append(Picture(image["source"], image["file"], lines, tasks))
    return wall(f"For a person: {count_of(len(images), 'image')}{left_out(images, most)}", pictures)


def withdrawn(images: pd.DataFrame, raw: Path, project: str = "", most: int = 16) -> Shown | None:
    """Show the images from `helpers.merge.withdrawn.find_withdrawn`, and how a person takes them out of `raw`."""
    pictures = []
    for image in images.head(most).to_dict("records"):
        lines, tasks = [f"label: {image['label']}", image["happened"]], task_pages(image["task"].split(), project)
        pictures.append(Picture(raw / image["file"], image["file"], lines, tasks))
    title = (
        f"Withdrawn labels: {count_of(len(images), 'image')}{left_out(images, most)}. They stay in the training set. "
    )
    return wall(f"{title}To take one out, delete its file in data/raw, run `dvc add data/raw`, and commit.", pictures)


def corrected(moves: pd.DataFrame, project: str = "", most: int = 16) -> Shown | None:
    """Show images whose earlier label the round corrects, from `helpers.round.merging.list_corrections`."""
    pictures = []
    for move in moves.head(most).to_dict("records"):
        lines, tasks = [f"{move['previous']} → {move['label']}"], task_pages(move["tasks"], project)
        pictures.append(Picture(move["source"], move["file"], lines, tasks))
    return wall(f"Corrected labels: {len(moves):,}{left_out(moves, most)}", pictures)


def nearly_equal(pairs: pd.DataFrame, folder: Path, most: int = 8) -> Shown | None:
    """Show each held-out image beside the training image that it nearly equals; `folder` holds the files."""
    pictures = []
    for pair in pairs.head(most).to_dict("records"):
        pictures.append(Picture(folder / pair["file"], pair["file"], ["held out", f"label: {pair['label']}"]))
        pictures.append(Picture(folder / pair["like"], pair["like"], ["trained on", f"label: {pair['like_label']}"]))
    verb = "equals" if len(pairs) == 1 else "equal"
    title = f"{count_of(len(pairs), 'held-out image')} nearly {verb} a training image{left_out(pairs, most)}"
    return wall(title, pictures)


def flips(flips: pd.DataFrame, folder: Path, tasks: Mapping[str, Mapping[str, str]], most: int = 24) -> Shown:
    """Show the images that exactly one model gets right: true label, both predictions, both confidences.

    Half of the `most` pictures are broken, unless there are too few of a kind; the first ones of each kind are shown.
    `tasks` are those of `link_tasks`.
    """
    broken, fixed = (flips[flips["flip"] == kind] for kind in ("broken", "fixed"))
    title = f"The new model corrects {count_of(len(fixed), 'mistake')} and makes {count_of(len(broken), 'new one')}."
    most_broken = min(len(broken), max(most // 2, most - len(fixed)))
    shown: dict[str, Collection[Picture]] = {title: []}
    for heading, kind, count in (
        ("Broken: the old model was right, the new one is wrong", broken, most_broken),
        ("Fixed: the old model was wrong, the new one is right", fixed, most - most_broken),
    ):
        pictures = []
        for flip in kind.head(count).to_dict("records"):
            lines: list[str | tuple[str, str]] = [f"label: {flip['actual']}"]
            for name, colour in COLOURS.items():
                predicted, confidence = flip[f"{name}_predicted"], flip[f"{name}_confidence"]
                lines.append((colour, f"{name}: {predicted} ({100 * confidence:.0f} %)"))
            pictures.append(Picture(folder / flip["file"], flip["file"], lines, tasks.get(flip["sha256"], {})))
        if pictures:
            shown[heading + left_out(kind, count)] = pictures
    return walls(shown)
