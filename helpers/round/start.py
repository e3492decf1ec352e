"""Check, before any change, that a round can run to its end."""

from collections.abc import Callable
from typing import Any

from helpers.comparison.decision import DecideParams
from helpers.comparison.second_look import ON_SUSPECT
from helpers.labels.consensus import ON_DISAGREEMENT
from helpers.merge.plan import ON_PROBLEM
from helpers.pipeline.backbone import read_backbone
from helpers.pipeline.params import PrepareParams, TrainParams, read_params
from helpers.pipeline.paths import MODEL, PARAMS, RAW
from helpers.problems import EndOfRun, Problem, check_all, require_choice
from helpers.round.declining import decline_round
from helpers.round.publishing import require_branch, require_committed_code
from helpers.round.record import read_decision
from helpers.round.unattended import require_own_work, require_recorded_data, started_by
from helpers.workspace import Workspace


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
        lambda: _require_images_of_today(workspace),
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


def _require_images_of_today(workspace: Workspace) -> None:
    """Raise a `Problem` if data/raw has the images of another commit, as after ``git pull`` without ``dvc pull``.

    The round would record them, and so take away the images that colleagues have added since. A folder that a person
    has changed equals that of no commit.
    """
    pointer = f"{RAW}.dvc"
    recorded = workspace.load(pointer)
    if not recorded:
        return
    found = workspace.hash_images()
    if found == _hash_in(recorded):
        return
    for commit in workspace.git("log", "--format=%H", "-n", "50", "HEAD", "--branches", "--", pointer).split():
        if found == _hash_in(workspace.load(pointer, commit)):
            raise Problem(
                f"{RAW} has the images of {commit[:7]}, not those that {pointer} names.",
                advice=f"`dvc pull` brings those. If you took images away yourself, run `dvc add {RAW}`.",
            )


def _hash_in(pointer: dict[str, Any]) -> str | None:
    """The hash of the folder that a file of DVC names; None if there is none."""
    return pointer.get("outs", [{}])[0].get("md5")
