"""Check, before any change, that a round can run to its end."""

from collections.abc import Callable
from typing import Any

from helpers.comparison.decision import DecideParams
from helpers.comparison.second_look import ON_SUSPECT
from helpers.files import is_image, require_text_names
from helpers.labels.consensus import ON_DISAGREEMENT
from helpers.merge.plan import ON_PROBLEM
from helpers.pipeline.backbone import read_backbone
from helpers.pipeline.params import PrepareParams, TrainParams, read_params
from helpers.pipeline.paths import MODEL, PARAMS, RAW
from helpers.problems import EndOfRun, Problem, check_all, require_choice
from helpers.round.declining import decline_round
from helpers.round.publishing import require_branch, require_committed_code
from helpers.round.record import read_decision
from helpers.round.state import is_open
from helpers.round.unattended import require_own_work, require_recorded_data, started_by
from helpers.workspace import Workspace

POINTER = f"{RAW}.dvc"


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
    require_text_names(workspace.raw)  # else DVC cannot even look at it
    params = workspace.root / PARAMS
    checks: list[Callable[[], object]] = [
        workspace.stop_on_locks,
        lambda: _require_images_of_head(workspace),
        lambda: require_choice("on_problem", on_problem, ON_PROBLEM),
        lambda: require_choice("on_disagreement", on_disagreement, ON_DISAGREEMENT),
        lambda: require_choice("on_suspect", on_suspect, ON_SUSPECT),
        lambda: read_params(PrepareParams, params),
        lambda: read_backbone(workspace.root, read_params(TrainParams, params).backbone),
        lambda: read_params(DecideParams, params),
        lambda: workspace.read_at(baseline, MODEL),
        lambda: read_decision(workspace),
    ]
    if starter := started_by():
        checks += [lambda: require_own_work(workspace, starter), lambda: require_recorded_data(workspace)]
    if publish:
        checks += [lambda: require_branch(workspace), lambda: require_committed_code(workspace)]
    check_all(checks)


def _require_images_of_head(workspace: Workspace) -> None:
    """Raise a `Problem` if data/raw lacks images of the last commit, or if it has the images of another commit.

    This happens after ``git pull`` without ``dvc pull``: the round would take away the images that colleagues have
    added, and bring back those that they have taken out. Names and classes may differ, and new images are welcome.
    Only a commit takes images out: ``dvc repro`` rewrites the pointer in the working tree by itself.
    """
    there, committed = workspace.list_folder(RAW), workspace.list_folder(RAW, "HEAD")
    contents = set(there.files.values())
    advice = (
        f"`git checkout HEAD {POINTER}` and `dvc pull` bring those of the last commit. "
        f"If you took images out yourself, run `dvc add {RAW}` and commit {POINTER}."
    )
    if lacking := [name for name, md5 in committed.files.items() if is_image(name) and md5 not in contents]:
        raise Problem(f"{RAW} lacks images of the last commit: {len(lacking):,}.", lacking, advice)
    if there.hash in (committed.hash, _hash_in(workspace.load(POINTER)) if is_open(workspace) else ""):
        return
    for commit in workspace.git("log", "--format=%H", "-n", "50", "HEAD", "--branches", "--", POINTER).split():
        if there.hash == _hash_in(workspace.load(POINTER, commit)):
            raise Problem(f"{RAW} has the images of {commit[:7]}, not those of the last commit.", advice=advice)


def _hash_in(pointer: dict[str, Any]) -> str | None:
    """The hash of the folder that a file of DVC names; None if there is none."""
    return pointer.get("outs", [{}])[0].get("md5")
