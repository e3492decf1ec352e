"""Pictures above their captions, as many side by side as the page is wide. Without pictures a gallery is None."""

import io
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pandas as pd

from helpers.comparison.words import count_of, left_out
from helpers.decode import UNREADABLE, read_upright
from helpers.figures.markup import QUIET, WRAP, Shown, escape, image_tag
from helpers.figures.style import COLOURS
from helpers.files import class_of

WIDTH, SHARP = 96, 2  # pixels of a picture's longer side on the page, and of its file for each of these at most
PROJECT = re.compile(r"((?i:https?)://\S+?/projects/(\d+))(?:[/?#]|$)")  # the address of a project, and its number


def gallery(files: Collection[str | Path], captions: Collection[str], title: str, most: int = 16) -> Shown | None:
    """Show the first pictures, each above its caption; the title counts those that are left out."""
    pairs = list(zip(files, captions, strict=True))[:most]
    return wall(title + left_out(files, most), [frame(file, Path(file).name, caption) for file, caption in pairs])


def review(plan: pd.DataFrame, project: str = "", most: int = 50) -> Shown | None:
    """Show the images of a merge plan that somebody labelled, and that were left out or keep a newer label."""
    left_out_ones = (plan["action"] == "leave out") & ~plan["status"].isin(["unlabelled", "skipped"])
    overruled = (plan["action"] == "keep") & (plan["destination"].map(class_of) != plan["label"])
    images = plan[left_out_ones | overruled]
    pictures = []
    for image in images.head(most).to_dict("records"):
        answers = [f"{who}: {label}" for who, label in zip(image["annotators"], image["labels"], strict=False)]
        tasks = [list_tasks(image["tasks"], project)]
        pictures.append(frame(image["source"], image["file"], *answers, image["reason"], more=tasks))
    return wall(f"For a person: {count_of(len(images), 'image')}{left_out(images, most)}", pictures)


def withdrawn(images: pd.DataFrame, raw: Path, project: str = "", most: int = 16) -> Shown | None:
    """Show the images from `helpers.merge.withdrawn.find_withdrawn`, and how a person takes them out of `raw`."""
    pictures = []
    for image in images.head(most).to_dict("records"):
        lines, tasks = [f"label: {image['label']}", image["happened"]], list_tasks(image["task"].split(), project)
        pictures.append(frame(raw / image["file"], image["file"], *lines, more=[tasks]))
    title = (
        f"Withdrawn labels: {count_of(len(images), 'image')}{left_out(images, most)}. They stay in the training set. "
    )
    return wall(f"{title}To take one out, delete its file in data/raw, run `dvc add data/raw`, and commit.", pictures)


def corrected(moves: pd.DataFrame, project: str = "", most: int = 16) -> Shown | None:
    """Show images whose earlier label the round corrects, from `helpers.round.merging.list_corrections`."""
    pictures = []
    for move in moves.head(most).to_dict("records"):
        line, tasks = f"{move['previous']} → {move['label']}", [list_tasks(move["tasks"], project)]
        pictures.append(frame(move["source"], move["file"], line, more=tasks))
    return wall(f"Corrected labels: {len(moves):,}{left_out(moves, most)}", pictures)


def near_duplicates(pairs: pd.DataFrame, folder: Path, most: int = 8) -> Shown | None:
    """Show each held-out image beside the training image that it nearly equals; `folder` holds the files."""
    pictures = []
    for pair in pairs.head(most).to_dict("records"):
        pictures.append(frame(folder / pair["file"], pair["file"], "held out", f"label: {pair['label']}"))
        pictures.append(frame(folder / pair["like"], pair["like"], "trained on", f"label: {pair['like_label']}"))
    verb = "equals" if len(pairs) == 1 else "equal"
    title = f"{count_of(len(pairs), 'held-out image')} nearly {verb} a training image{left_out(pairs, most)}"
    return wall(title, pictures)


def flips(flips: pd.DataFrame, folder: Path, links: Mapping[str, str], most: int = 24) -> Shown:
    """Show the images that exactly one model gets right: true label, both predictions, both confidences.

    Half of the `most` pictures are broken, unless there are too few of a kind; the first ones of each kind are shown.
    `links` are those of `link_tasks`.
    """
    broken, fixed = (flips[flips["flip"] == kind] for kind in ("broken", "fixed"))
    title = f"The new model corrects {count_of(len(fixed), 'mistake')} and makes {count_of(len(broken), 'new one')}."
    most_broken = min(len(broken), max(most // 2, most - len(fixed)))
    walls = []
    for heading, kind, count in (
        ("Broken: the old model was right, the new one is wrong", broken, most_broken),
        ("Fixed: the old model was wrong, the new one is right", fixed, most - most_broken),
    ):
        pictures = []
        for flip in kind.head(count).to_dict("records"):
            more = []
            for name, colour in COLOURS.items():
                said = f"{name}: {flip[f'{name}_predicted']} ({100 * flip[f'{name}_confidence']:.0f} %)"
                more.append(f'<span style="color:{colour}">■</span> {escape(said)}')
            more.append(links.get(flip["sha256"], ""))
            pictures.append(frame(folder / flip["file"], flip["file"], f"label: {flip['actual']}", more=more))
        walls.append(wall(heading + left_out(kind, count), pictures))
    return Shown(f"<p>{title}</p>" + "".join(wall.html for wall in walls if wall), title)


def link_tasks(lineage: pd.DataFrame, project: str) -> dict[str, str]:
    """Link the tasks of the project in Label Studio at this address, by the SHA-256 of their images."""
    found = PROJECT.match(project)
    ours = lineage[lineage["project"] == found[2]] if found else lineage[:0]
    return dict(zip(ours["sha256"], (list_tasks(tasks.split(), project) for tasks in ours["task"]), strict=True))


def list_tasks(tasks: Iterable[object], project: str) -> str:
    links, found = [], PROJECT.match(project)
    for task in map(str, tasks):
        page = f"{escape(found[1])}/data?task={task}" if found and task.isdecimal() else ""
        links.append(f'<a href="{page}">{task}</a>' if page else escape(task))
    return f"task {', '.join(links)}" if links else ""


def wall(title: str, pictures: Collection[str]) -> Shown | None:
    if not pictures:
        return None
    framed = f'<div style="{WRAP}; gap:1em; margin-bottom:1em">{"".join(pictures)}</div>'
    return Shown(f"<p>{escape(title)}</p>{framed}", title)


def frame(file: str | Path, name: str, *lines: str, more: Iterable[str] = ()) -> str:
    """Put a picture above its name, lines of text, and lines of HTML."""
    below = [f'<span style="{QUIET}">{escape(name)}</span>', *map(escape, lines), *filter(None, more)]
    caption = f'<figcaption style="font-size:0.9em; line-height:1.3">{"<br>".join(below)}</figcaption>'
    return f'<figure style="margin:0; width:8em; overflow-wrap:anywhere">{_show(file, name)}{caption}</figure>'


def _show(file: str | Path, name: str) -> str:
    """Put a picture into the page; a sentence stands in for one that cannot be read."""
    size = WIDTH * SHARP
    try:
        image = read_upright(file, size)
        image.thumbnail((size, size), reducing_gap=2.0)
    except UNREADABLE:
        return f'<p style="height:{WIDTH}px; margin:0; {QUIET}">cannot be read</p>'
    coded = io.BytesIO()
    image.convert("RGB").save(coded, "WEBP", quality=75, lossless=max(image.size) < WIDTH)
    style = f"border:1px solid #88888866; width:{round(WIDTH * image.width / max(image.size))}px"
    style += "; image-rendering:pixelated" if max(image.size) < WIDTH else ""  # enlarged, without blur
    return image_tag("webp", coded.getvalue(), name, style)
