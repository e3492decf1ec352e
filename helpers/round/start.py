"""Check, before any change, that a round can run to its end."""

import atexit
import gc
from collections.abc import Callable, Iterable
from functools import partial

from helpers.comparison.policy import DecideParams
from helpers.files import require_text_names
from helpers.labels.consensus import ON_DISAGREEMENT
from helpers.merge.plan import ON_PROBLEM
from helpers.pipeline.backbone import read_backbone
from helpers.pipeline.params import PrepareParams, TrainParams, read_params, tell_gone
from helpers.pipeline.paths import MODEL, PARAMS
from helpers.problems import EndOfRun, Problem, check_all, require_choice
from helpers.round.declining import decline_round
from helpers.round.publishing import require_branch, require_committed_code
from helpers.round.record import read_decision
from helpers.round.removals import read_removed, require_images_of_head, require_lineage_of_head
from helpers.round.state import find_state
from helpers.round.storage import require_pushable
from helpers.round.unattended import require_own_work, require_recorded_data, started_by
from helpers.scenes import read_scenes
from helpers.workspace import Workspace
from helpers.workspace.locks import stop_on_locks


def start_round(
    workspace: Workspace,
    *,
    baseline: str,
    on_problem: str,
    on_disagreement: str,
    publish: bool,
    decline: bool,
    removed: str,
    checks: Iterable[Callable[[], object]] = (),
) -> None:
    """Check, before any change, that the round can run to its end; if `decline` is set, decline it and end the run.

    An interrupted decline is completed first; with `publish`, the run then ends. `checks`, which extras supply, raise a
    `Problem` each if they fail. Settings of earlier versions that have no effect are named.
    """
    atexit.register(gc.freeze)  # else Python searches all objects of its libraries for garbage at its end
    if decline and publish:
        raise Problem("A round is published or declined, not both.", advice="Set `publish` or `decline`.")
    if decline:
        raise EndOfRun(decline_round(workspace))
    if find_state(workspace) == "half declined":
        declined = decline_round(workspace)
        if publish:  # it would merge and publish the round that somebody has declined
            raise EndOfRun(f"{declined}\nThe run ends here, and publishes nothing.")
        print(declined)
    require_text_names(workspace.raw)  # else DVC cannot even look at it
    params = workspace.root / PARAMS
    checks = [
        *checks,
        lambda: stop_on_locks(workspace),
        lambda: require_images_of_head(workspace),
        lambda: require_lineage_of_head(workspace),
        lambda: require_choice("on_problem", on_problem, ON_PROBLEM),
        lambda: require_choice("on_disagreement", on_disagreement, ON_DISAGREEMENT),
        lambda: read_removed(removed),
        lambda: read_params(PrepareParams, params),
        lambda: read_scenes(workspace.scenes),
        lambda: read_backbone(workspace.root, read_params(TrainParams, params).backbone),
        lambda: read_params(DecideParams, params),
        lambda: workspace.read_at(baseline, MODEL),
        lambda: read_decision(workspace),
    ]
    if starter := started_by():
        checks += [lambda: require_own_work(workspace, starter), lambda: require_recorded_data(workspace)]
    if publish:
        checks += [partial(check, workspace) for check in (require_branch, require_committed_code, require_pushable)]
    check_all(checks)
    for sentence in tell_gone(params):
        print(sentence)
