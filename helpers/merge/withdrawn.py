"""Find the images of the training set whose label somebody took back in Label Studio."""

from itertools import chain
from pathlib import Path

import pandas as pd


def find_withdrawn(plan: pd.DataFrame, raw: Path, lineage: pd.DataFrame) -> pd.DataFrame:
    """Find the images that stay in the training set although the project no longer has their label.

    `plan` is from `helpers.merge.plan.plan_merge`. Only an export that names its project can tell, and only of images
    whose `lineage` names the same one: task ids begin at 1 in each project. An export has either all tasks or those
    with an annotation; of the latter, nobody knows whether a task that is missing was deleted.

    Returns the rows of `lineage`, each with the words for what ``happened``.
    """
    bare = plan["annotators"].map(len) == 0
    whole = (bare & (plan["status"] == "unlabelled")).any()
    gone = "its task was deleted" if whole else "its annotation or its task was deleted"
    happened = pd.Series("it was submitted without a choice", plan.index).mask(bare, "its annotation was deleted")
    happened = happened.mask(plan["status"] == "skipped", "its task was skipped")
    happened = happened.where(plan["status"].isin(["skipped", "unlabelled"]), "")  # "": somebody answers
    fate: dict[str, str] = {}  # by task and by content; an answer for one of them is an answer
    for tasks, sha256, words in zip(plan["tasks"], plan["sha256"], happened, strict=True):
        for key in filter(None, chain(map(str, tasks), [sha256])):
            fate[key] = words and fate.get(key, words)

    fates = []
    for tasks, sha256 in zip(lineage["task"], lineage["sha256"], strict=True):
        known = [fate[key] for key in (*tasks.split(), sha256) if key in fate]
        fates.append(gone if not known else known[0] if all(known) else "")
    ours = lineage["project"].isin(set(plan["project"]) - {""})
    stays = lineage["file"].map(lambda file: (raw / file).is_file()).astype(bool)
    return lineage.assign(happened=fates)[ours & stays].query("happened != ''")
