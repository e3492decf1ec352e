"""Plan the merge of labelled images into the training set; `helpers.merge.apply` carries it out.

Content alone identifies an image: files of the same bytes are one image under any name.
"""

import difflib
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.files import class_of, list_training_set, read_training_set
from helpers.hashing import find_changed, hash_all, sha256_of_image
from helpers.merge.file_names import fold, folder_of, is_safe, name_in_message
from helpers.merge.image_files import UPLOAD, ImageFiles
from helpers.merge.lineage import join_cell, read_lineage
from helpers.merge.rules import CHANGES, is_future, place_images
from helpers.problems import Problem, require_choice

ON_PROBLEM = ("stop", "skip")


def plan_merge(
    labels: pd.DataFrame,
    images: Path,
    raw: Path,
    *,
    lineage: Path,
    hashes: Path,
    new_classes: Collection[str] = (),
    on_problem: str = "stop",
    taken_out: Mapping[str, pd.Timestamp] | None = None,
) -> pd.DataFrame:
    """Plan the merge of each image of an export into the training set. Only the file `hashes` is written.

    `labels` is from `helpers.labels.read_export`, `images` the folder of the labelled images, searched at any depth,
    `raw` the training set, a folder per class, `lineage` the record of earlier merges (see `helpers.merge.lineage`),
    and `hashes` the file of a `helpers.hashing.HashCache`. `taken_out` has the times when people took images out of the
    training set, by SHA-256: only a newer label brings such an image back.

    A `Problem` tells that a folder does not exist. Unless `on_problem` is ``skip``, which leaves the images concerned
    out, it also tells that a labelled image has no file, several different files or one that is no picture, or that a
    label cannot name a folder, differs from another only in case, is new and not one of `new_classes`, or has a time
    that is still to come.

    Returns
    -------
    DataFrame
        The rows of `labels`, with the class in data/raw as their label, and, all of them str:

        - ``source``: absolute path of the image; empty if there is none, or if it is ambiguous.
        - ``sha256``: of its content.
        - ``action``: ``add`` copies the image into its class; ``move`` takes it from the class of its former label to
          that of its corrected one; ``keep`` and ``leave out`` change nothing.
        - ``destination``: the place of the image after the merge, relative to `raw`; empty if it is left out.
        - ``previous``: the place of an image before it moves, relative to `raw`.
        - ``reason``: a sentence that explains the action.
    """
    require_choice("on_problem", on_problem, ON_PROBLEM)
    _require_folders(images, raw)
    held = defaultdict(list)
    for name, sha256 in read_training_set(raw, hashes).items():
        held[sha256].append(name)
    plan = _find_files(_name_folders(labels), images, hashes)
    plan = _leave_out_problems(plan, raw, new_classes, stop=on_problem == "stop")
    record = read_lineage(lineage)
    record["updated_at"] = record["updated_at"].mask(is_future(record["updated_at"]))  # of an earlier version
    plan = plan.drop(columns="reason").join(place_images(plan, held, record, taken_out or {}))
    if find_changed(_hashes_that_decide(plan, raw, record), "Checking images"):
        hashes.unlink(missing_ok=True)  # what it remembers is wrong
        options: dict[str, Any] = {"new_classes": new_classes, "on_problem": on_problem, "taken_out": taken_out}
        return plan_merge(labels, images, raw, lineage=lineage, hashes=hashes, **options)
    return plan


def count_classes(plan: pd.DataFrame, raw: Path, former: pd.Series | None = None) -> pd.DataFrame:
    """Count the images of each class, columns ``before`` and ``after`` a merge, from the plan and `raw` before it.

    `former` are the labels of the images before an earlier merge, to count the changes of both.
    """
    images, changes = set(list_training_set(raw)), plan[plan["action"].isin(CHANGES)]
    after = images - set(changes["previous"]) | set(changes["destination"])
    labels = {
        "before": pd.Series(map(class_of, images), dtype=object) if former is None else former,
        "after": pd.Series(map(class_of, after), dtype=object),
    }
    counts = pd.DataFrame({time: of_images.value_counts() for time, of_images in labels.items()})
    return counts.fillna(0).astype(int).rename_axis("label").sort_index()


def _hashes_that_decide(plan: pd.DataFrame, raw: Path, lineage: pd.DataFrame) -> dict[str, str]:
    """Return the files, with their SHA-256, because of whose content the plan does not add an image.

    Merging reads the images that it adds anyway. Images that the lineage already has from the same task, with a label
    of the same time, are believed: they are nearly all images of an export that grows from round to round.
    """
    told = set(zip(lineage["sha256"], lineage["task"], lineage["updated_at"], strict=True))
    files: dict[str, str] = {}
    rest = plan[plan["label"].notna() & (plan["sha256"] != "") & (plan["action"] != "add")]
    row: Any
    for row in rest.itertuples():
        if row.action == "move" or (row.sha256, join_cell(row.tasks), row.updated_at) not in told:
            places = [Path(row.source), raw / row.previous, raw / row.destination]
            files |= {str(file): row.sha256 for file in places if file.is_file()}
    return files


def _require_folders(*folders: Path) -> None:
    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        raise Problem(
            "There is no such folder.",
            missing,
            "`images` is where the labelled images are. `dvc pull` fetches data/raw; for a first round make it, empty.",
        )


def _name_folders(labels: pd.DataFrame) -> pd.DataFrame:
    """Put the name of a label's folder in place of each label and choice."""
    return labels.assign(
        label=labels["label"].map(folder_of, na_action="ignore"),
        labels=labels["labels"].map(lambda choices: tuple(map(folder_of, choices))),
    )


def _find_files(labels: pd.DataFrame, images: Path, hashes: Path) -> pd.DataFrame:
    """Add ``source``, ``sha256`` and the ``problem`` with the file or the time of the label to each row."""
    files = ImageFiles(images)
    found = [files.find(image, file) for image, file in zip(labels["image"], labels["file"], strict=True)]
    contents, broken = hash_all(chain.from_iterable(found), sha256_of_image, hashes, "Reading images")
    chosen = _choose_files(labels, found, contents, broken)
    plan = labels.reset_index(drop=True).join(
        pd.DataFrame(chosen, columns=["source", "sha256", "problem"], dtype=object)
    )
    times = plan["updated_at"]
    sentence = "its label has a time that is still to come, " + times.dt.strftime("%Y-%m-%d %H:%M UTC")
    return plan.assign(problem=plan["problem"].mask(is_future(times), sentence))


def _choose_files(
    labels: pd.DataFrame, found: Sequence[Sequence[str]], contents: Mapping[str, str], broken: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """Return the source, its SHA-256 and the problem with it for each row; see `helpers.hashing.hash_all`."""
    # Two paths in a storage are two files. On disk, one of them may have overwritten the other.
    claims: dict[str, set[str]] = defaultdict(set)
    for image, file, files in zip(labels["image"], labels["file"], found, strict=True):
        if not UPLOAD.search(image):
            for path in files:
                claims[path].add(file)

    chosen = []
    for file, files in zip(labels["file"], found, strict=True):
        source, sha256, problem = "", "", ""
        if not files:
            problem = f"there is no file {name_in_message(file)!r}"
        elif len({contents.get(path) for path in files}) > 1:
            problem = f"it could be any of these, which differ: {', '.join(files[:5])}"
        elif len(claims[files[0]]) > 1:
            problem = f"{files[0]} could be any of these: {', '.join(sorted(claims[files[0]])[:5])}"
        elif files[0] in broken:
            source, problem = files[0], f"{files[0]} is no picture: {broken[files[0]]}"
        else:
            source, sha256 = files[0], contents[files[0]]
        chosen.append((source, sha256, problem))
    return chosen


def _leave_out_problems(plan: pd.DataFrame, raw: Path, new_classes: Collection[str], stop: bool) -> pd.DataFrame:
    """Make the problem of each row, with its file or its label, the ``reason`` to leave it out, or stop at them all."""
    refused, advice = _refuse_labels(set(plan["label"].dropna()), raw, new_classes)
    if stop:
        _stop_on_problems(plan, refused, advice)
    problems = [refused.get(label, problem) for label, problem in zip(plan["label"], plan["problem"], strict=True)]
    return plan.drop(columns="problem").assign(reason=plan["reason"].fillna(pd.Series(problems, dtype=object)))


def _refuse_labels(labels: set[str], raw: Path, new_classes: Collection[str]) -> tuple[dict[str, str], str]:
    """Return the labels that cannot be merged, each with the reason, and advice about those that are new."""
    classes = {entry.name for entry in os.scandir(raw) if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."}
    spellings = defaultdict(set)
    for label in labels | classes:
        spellings[fold(label)].add(label)
    refused, unknown = {}, set()
    for label in sorted(labels - classes):
        twins = sorted(spellings[fold(label)] - {label})
        if not is_safe(label):
            refused[label] = "cannot be the name of a folder everywhere"
        elif twins:
            refused[label] = f"differs in nothing but case from {' and '.join(map(repr, twins))}"
        elif os.path.lexists(raw / label):
            refused[label] = f"{raw / label} is a link or a file, not a folder"
        elif label not in new_classes:
            nearest = difflib.get_close_matches(label, classes, n=1, cutoff=0)
            refused[label] = f"{raw} has no such class" + (f", the nearest is {nearest[0]!r}" if nearest else "")
            unknown.add(label)
    return refused, f"To welcome new classes: new_classes = {sorted(unknown.union(new_classes))}. " if unknown else ""


def _stop_on_problems(plan: pd.DataFrame, refused: Mapping[str, str], advice: str) -> None:
    details = []
    for label, why in refused.items():
        rows = plan[plan["label"] == label]
        tasks = list(map(str, chain.from_iterable(rows["tasks"])))
        shown = ", ".join(tasks[:5]) + (f" and {len(tasks) - 5} more" if len(tasks) > 5 else "")
        details.append(f"label {label!r} ({len(rows)} images, task {shown}): {why}")
    broken = plan[plan["label"].notna() & (plan["problem"] != "")]
    for image, tasks, problem in zip(broken["image"], broken["tasks"], broken["problem"], strict=True):
        details.append(f"{name_in_message(image)} (task {', '.join(map(str, tasks))}): {problem}")
    if details:
        raise Problem(
            "The labels cannot be merged as they are.",
            details,
            f"{advice}Rename labels in Label Studio. Put missing images into `images`; a file with exactly the name "
            "in the export settles which of several is meant. Submit labels again whose time is still to come: a clock "
            "was wrong. on_problem = 'skip' merges without these images.",
        )
