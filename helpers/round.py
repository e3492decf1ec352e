"""One labelling round in a workspace: start, merge, retrain, compare, end; `helpers.verdict` decides."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from helpers.comparison.decision import failed_rules
from helpers.comparison.scores import Comparison, score_images
from helpers.comparison.second_look import ON_SUSPECT, SecondLook, doubt_labels, leave_out_suspects
from helpers.decode import open_image
from helpers.hashing import sha256_of
from helpers.labels.consensus import ON_DISAGREEMENT
from helpers.merge.apply import apply_merge
from helpers.merge.lineage import extend_lineage, format_lineage, read_lineage
from helpers.merge.plan import ON_PROBLEM, count_classes
from helpers.merge.rules import CHANGES
from helpers.pipeline.backbone import read_backbone
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import DecideParams, PrepareParams, TrainParams, read_params
from helpers.pipeline.paths import HISTORY, INDEX, METRICS, MODEL, NEAR_DUPLICATES, PARAMS, RAW, read_table
from helpers.problems import EndOfRun, Problem, check_all, require_choice
from helpers.publishing import (
    BEFORE,
    decline_round,
    is_open,
    is_pending,
    publish_round,
    remember_workspace,
    require_branch,
    tell_state,
)
from helpers.verdict import find_baseline, load_past, past_models
from helpers.workspace import LINEAGE, Workspace

LARGE, ENOUGH = 96, 0.9  # pixels, and the accuracy below which a backbone may do better


def start_round(
    workspace: Workspace,
    *,
    baseline: str,
    on_problem: str,
    on_disagreement: str,
    on_suspect: str,
    publish: bool,
    decline: bool,
) -> None:
    """Check, before any change, that the round can run to its end; if `decline` is set, decline it and end the run."""
    if decline and publish:
        raise Problem("A round is published or declined, not both.", advice="Set `publish` or `decline`.")
    if decline:
        raise EndOfRun(decline_round(workspace))
    params = workspace.root / PARAMS
    checks: list[Callable[[], object]] = [
        workspace.stop_on_locks,
        lambda: require_choice("on_problem", on_problem, ON_PROBLEM),
        lambda: require_choice("on_disagreement", on_disagreement, ON_DISAGREEMENT),
        lambda: require_choice("on_suspect", on_suspect, ON_SUSPECT),
        lambda: read_params(PrepareParams, params),
        lambda: read_backbone(workspace.root, read_params(TrainParams, params).backbone),
        lambda: read_params(DecideParams, params),
        lambda: workspace.read_at(baseline, MODEL),
    ]
    if publish:
        checks.append(lambda: require_branch(workspace))
    check_all(checks)


def look_again(workspace: Workspace, plan: pd.DataFrame, on_suspect: str) -> tuple[pd.DataFrame, SecondLook]:
    """Let the old model judge the labels of a plan that it does not know, on images that it was not trained on.

    The plan comes back, without suspects if `on_suspect` is ``leave out``; see `leave_out_suspects`.
    """
    labelled = plan[plan["label"].notna() & (plan["action"] != "leave out")].drop_duplicates("sha256")
    unseen, opinions = labelled[:0], pd.DataFrame()
    for commit in past_models(workspace):
        model, index = load_past(workspace, commit)
        if model is None or index is None:
            break
        known_label = dict(zip(index["sha256"], index["label"], strict=True))
        new = labelled[labelled["sha256"].map(known_label) != labelled["label"]]
        if len(new):  # else this model is the round's own: ask the one before
            unseen = new[~new["sha256"].isin(index.loc[index["split"] == "train", "sha256"])]
            images = unseen[["source", "sha256"]].set_axis(["file", "sha256"], axis=1)
            opinions = model.predict(workspace.root, workspace.root, images)
            break
    judged, noise = doubt_labels(unseen, opinions)
    if on_suspect == "leave out":
        plan = leave_out_suspects(plan, judged, read_params(PrepareParams, workspace.root / PARAMS))
        staying = unseen["sha256"].isin(plan.loc[plan["action"] != "leave out", "sha256"]).to_numpy()
        _, noise = doubt_labels(unseen[staying], opinions[staying])
    return plan, SecondLook(judged, noise if len(judged) else None)


def end_without_labels(workspace: Workspace, plan: pd.DataFrame) -> None:
    """End the run if a plan has no label to merge, unless an earlier run has left something to judge or to publish."""
    if plan["action"].eq("leave out").all() and not is_pending(workspace):
        counts = [f"{count:,} {status}" for status, count in plan["status"].value_counts().items()]
        images = f"of {len(plan):,} images, {', '.join(counts)}" if counts else "the export is empty"
        raise EndOfRun(f"There are no labels to merge ({images}): the run ends here, and nothing was changed.")


def count_round(workspace: Workspace, plan: pd.DataFrame) -> pd.DataFrame:
    """Count the images of each class before and after the round, also if an earlier run of it has merged them.

    A plan without changes, where no round is open, is that of the last published round.
    """
    began = past_models(workspace)[1:] if not plan["action"].isin(CHANGES).any() else []
    if is_open(workspace):
        began = [BEFORE]
    return count_classes(plan, workspace.raw, workspace.list_at(began[0], RAW) if began else [])


def merge_round(workspace: Workspace, plan: pd.DataFrame, export: Path) -> None:
    """Carry out a merge plan made from `export`, with the images before and after the merge in DVC's cache."""
    export_sha256, known = sha256_of(export), read_lineage(workspace.lineage)
    record = extend_lineage(known, plan, export_sha256)
    # Record also a round that only confirms labels: earlier exports must not correct them any more.
    if plan["action"].isin(CHANGES).any() or format_lineage(record) != format_lineage(known):
        remember_workspace(workspace)
        apply_merge(plan, workspace.raw, workspace.lineage, export_sha256, hashes=workspace.hashes)
    # Do this even if nothing is left to merge: an earlier run may have ended before this line.
    if workspace.lineage.exists() and not _is_tracked(workspace.lineage):
        workspace.dvc("add", RAW, LINEAGE, quiet=True)


def _is_tracked(file: Path) -> bool:
    """Whether DVC's pointer to a file names its present content."""
    pointer = file.with_name(f"{file.name}.dvc")
    content = hashlib.md5(file.read_bytes(), usedforsecurity=False)
    return pointer.exists() and content.hexdigest() in pointer.read_text()


def describe_training(became: str) -> str:
    """Put the result of `Workspace.reproduce` into a sentence."""
    return {
        "trained": "The model was trained anew.",
        "restored": "The model comes from DVC's cache: it was trained on these images with these settings before.",
        "unchanged": "Nothing changed since the last training: nothing to train.",
    }[became]


def advise_backbone(workspace: Workspace) -> str:
    """Return advice to use a backbone, where the small network fails on large pictures; empty elsewhere."""
    params = read_params(TrainParams, workspace.root / PARAMS)
    accuracy = float(workspace.load(METRICS)["accuracy"])
    if params.backbone != "none" or accuracy >= ENOUGH:
        return ""
    index = read_table((workspace.root / INDEX).read_bytes())
    sides = []
    for file in index.loc[index["split"] == "held-out", "file"].head(100):
        with open_image(workspace.raw / file) as image:
            sides.append(max(image.size))
    if median(sides) <= LARGE:
        return ""
    return (
        f"The small network gets {accuracy:.0%} of the held-out images right, which are larger than {LARGE} pixels. If "
        "they are photographs, a pretrained backbone sees more in them: `make backbone` writes one; then set "
        "`train.backbone` in params.yaml. It costs some 5 ms for each new image, once, and 13 MB in each model's file."
    )


def compare_models(workspace: Workspace, baseline: str = "HEAD") -> Comparison:
    """Let the model in the workspace and the one at `baseline` (see `find_baseline`) predict today's held-out images.

    A `Problem` tells that there is no such revision, or that neither DVC's cache nor its remote has the model of it.
    """
    index = read_table((workspace.root / INDEX).read_bytes())
    held_out = index[index["split"] == "held-out"]
    new = load_classifier((workspace.root / MODEL).read_bytes(), MODEL)
    commit = find_baseline(workspace, baseline, new.version)
    old, old_index = load_past(workspace, commit)
    scores = score_images(
        held_out,
        new.predict(workspace.root, workspace.raw, held_out),
        old.predict(workspace.root, workspace.raw, held_out) if old else None,
        old_index,
    )
    lineage = read_lineage(workspace.lineage)
    trained_on = int(new.description.trained_on.get("images", 0))
    return Comparison(scores, lineage, new.version, old.version if old else "", commit, trained_on)


def read_histories(workspace: Workspace, comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read the learning curves of the new model and, if there is one, of the old model."""
    old = workspace.read_at(comparison.baseline, HISTORY)
    return pd.read_csv(workspace.root / HISTORY), pd.read_csv(BytesIO(old)) if old else None


def read_near_duplicates(workspace: Workspace) -> pd.DataFrame:
    """Read the held-out images that nearly equal a training image, as the stage ``prepare`` found them."""
    return read_table((workspace.root / NEAR_DUPLICATES).read_bytes())


def draw_plots(workspace: Workspace, comparison: Comparison) -> Future[str]:
    """Let ``dvc plots diff`` write its page, beside other work; the result is the relative path to it."""
    old = workspace.git("describe", "--tags", "--always", comparison.baseline).strip()  # what the legends call it

    def draw() -> str:
        workspace.dvc("plots", "diff", old, quiet=True)
        return Path(os.path.relpath(workspace.root / "dvc_plots/index.html")).as_posix()

    return ThreadPoolExecutor(max_workers=1).submit(draw)


def end_round(
    workspace: Workspace,
    plan: pd.DataFrame,
    decision: dict[str, Any],
    *,
    publish: bool,
    publish_anyway: str = "",
    tag: bool = True,
    require_acceptance: bool = False,
) -> str:
    """Publish the round if `publish` is set, and report the steps and the state of the round in sentences."""
    if require_acceptance and not (decision["accepted"] or publish_anyway):
        raise Problem(f"The new model is not accepted. {decision['sentence']}", failed_rules(decision))
    done = publish_round(workspace, plan, decision, anyway=publish_anyway, tag=tag) if publish else []
    return "\n".join([*done, tell_state(workspace)])
