"""Publish a round with DVC and git."""

from contextlib import suppress

import pandas as pd

from helpers.comparison.policy import DecideParams
from helpers.comparison.record import Decision
from helpers.merge.lineage import count_changes, parse_lineage, read_lineage
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import read_params
from helpers.pipeline.paths import MODEL, PARAMS
from helpers.problems import Problem
from helpers.round.advice import advise
from helpers.round.record import read_decision
from helpers.round.removals import explain_removals
from helpers.round.state import (
    POINTERS,
    SETTINGS,
    find_round,
    find_state,
    is_changed,
    list_files,
    made_files,
    present,
    tell_state,
)
from helpers.round.storage import dvc_remote, push_data, require_pushable
from helpers.round.tags import REMOTE_TAGS, drop_taken_tag, fetch_tags, give_tag, name_tag
from helpers.round.unattended import signature, started_by
from helpers.workspace import DECISION, LINEAGE, Workspace
from helpers.workspace.stages import code_of_stages, dvc_status

PUBLISHED_BECAUSE = "Not accepted, published because:"  # in the message of a commit, before the reason


def publish_round(
    workspace: Workspace,
    plan: pd.DataFrame,
    decision: Decision,
    *,
    anyway: str = "",
    tag: bool = True,
    removed: str = "",
) -> list[str]:
    """Push the data to DVC's remote, commit the files of the round, tag an accepted model, and push commit and tag.

    In this order git's remote never points at data that DVC's remote lacks. A missing remote is reported, not fatal;
    after a failed step, the same call continues. Nothing else in the index or the working tree is committed, and no
    other tag is pushed. The sentences that come back tell which steps were done, and which were not.

    `anyway` is the reason for publishing a model that is not accepted, and `removed` the number of images that were
    taken out, and why; both go into the commit message. Without `tag` an accepted model gets no tag yet: a pull request
    still decides.
    """
    if not decision.accepted and not anyway.strip():
        raise Problem(
            "Not published: the model is not accepted.",
            decision.failures,
            "To publish it all the same, say why with the parameter `publish_anyway`.",
        )
    if find_state(workspace) == "declined":
        advice = "Run the notebook from its top: it merges the labels again."
        raise Problem("Not published: the round is declined.", advice=advice)
    branch, storage = require_branch(workspace), dvc_remote(workspace)
    require_committed_code(workspace)
    require_pushable(workspace)
    _require_judged(workspace, decision)
    reasons = [f"{PUBLISHED_BECAUSE} {anyway}"] if not decision.accepted else []
    if is_changed(workspace):  # else the reason is in the commit
        reasons += explain_removals(workspace, decision, removed)
    done = []
    if storage:
        push_data(workspace)
        done.append(f"The data is in DVC's remote `{storage}`.")
    done.append(_commit(workspace, plan, decision, reasons))
    message = decision.sentence if tag and decision.accepted else ""
    return [*done, *_tag_and_push(workspace, branch, storage, message)]


def require_branch(workspace: Workspace) -> str:
    """Return the branch that is checked out; raise a `Problem` if there is none to publish on."""
    branch = workspace.git("branch", "--show-current").strip()
    if not branch:
        raise Problem("Nothing can be published: no branch is checked out.", advice="`git switch -c <name>` makes one.")
    return branch


def require_committed_code(workspace: Workspace) -> None:
    """Raise a `Problem` if git would not have the code of the stages that made the model."""
    if changes := workspace.changes(*code_of_stages(workspace)):
        raise Problem(
            "Nothing can be published: the stages use code that is not committed.",
            changes,
            "Commit it (`git add`, `git commit`). Then publish again.",
        )


def _require_judged(workspace: Workspace, decision: Decision) -> None:
    """Raise a `Problem` if the workspace holds other data, settings or another model than the decision is about."""
    changes = dvc_status(workspace, "--with-deps", "evaluate", *present(workspace, *POINTERS))
    if not changes:
        model = load_classifier((workspace.root / MODEL).read_bytes(), MODEL).version
        if model != decision.model:
            changes.append(f"model {decision.model} was judged, and model {model} is there")
        policy = read_params(DecideParams, workspace.root / PARAMS).model_dump()
        if is_changed(workspace) and policy != decision.policy:  # else it was judged, maybe by other defaults
            changes.append(f"{PARAMS} has another policy of the decision")
        for section, settings in decision.settings.items():
            if workspace.load(PARAMS).get(section) != settings:
                changes.append(f"{PARAMS} has another section `{section}`")
        if read_decision(workspace) != decision:
            changes.append(f"{DECISION} holds another decision")
    if changes:
        raise Problem(
            "Not published: the workspace has changed since the models were compared.",
            changes,
            "Run the notebook again: it compares the model that is there then.",
        )


def _tag_and_push(workspace: Workspace, branch: str, storage: str, message: str) -> list[str]:
    """Tag the round, if there is a message for a tag, and push it to the upstream, if DVC's remote has its data."""
    form = "--format=%(upstream:remotename) %(upstream:remoteref)"
    remote, _, ref = workspace.git("for-each-ref", form, f"refs/heads/{branch}").strip().partition(" ")
    if storage and remote:
        return _push(workspace, remote, ref, message)
    done = [f"Tagged `{name_tag(give_tag(workspace, find_round(workspace)[0], message))}`."] if message else []
    if not storage:
        return [*done, "Not pushed: DVC has no remote. `dvc remote add --default <name> <url>` adds one; then again."]
    advice = f"`git push --set-upstream <remote> {branch}` sets one."
    return [*done, f"Not pushed: `{branch}` has no upstream. {advice}"]


def _push(workspace: Workspace, remote: str, ref: str, message: str) -> list[str]:
    """Push the branch and, if there is a message for it, a tag of the round: both or neither."""
    done, tag = [], ""
    try:
        fetch_tags(workspace, remote)
        if message:
            commit, name = find_round(workspace)
            done += drop_taken_tag(workspace, remote, commit, name)
            tag = give_tag(workspace, commit, message)
        tags = [f"{tag}:refs/tags/{name_tag(tag)}"] if tag else []
        workspace.git("push", "--porcelain", "--atomic", "--no-follow-tags", remote, f"HEAD:{ref}", *tags)
    except Problem as problem:
        if tag.startswith("refs/tags/"):
            workspace.git("update-ref", "-d", tag)  # after a rebase, the new commit gets it
        advice = advise(problem.details, remote)
        raise Problem("The round is committed, but not pushed.", problem.details, advice) from None
    tagged = ""
    if tag:
        name = name_tag(tag)
        tagged = f", and its tag `{name}` with it"
        workspace.git("update-ref", f"{REMOTE_TAGS}/{name}", tag)
        with suppress(Problem):  # it is here
            workspace.git("update-ref", f"refs/tags/{name}", tag, "")
    return [*done, f"The round is pushed to `{ref.removeprefix('refs/heads/')}` of `{remote}`{tagged}."]


def _commit(workspace: Workspace, plan: pd.DataFrame, decision: Decision, reasons: list[str]) -> str:
    if is_changed(workspace):
        files = list_files(workspace, *made_files(workspace), *SETTINGS)
        workspace.git("add", "--all", "--", *files)
        # A second run's plan only keeps the images that the first one added: count from the lineage.
        added, moved = count_changes_since(workspace, "HEAD")
        left_out = plan["action"].eq("leave out").sum()
        headline = f"Retrain: images {added} added, {moved} moved, {left_out} left out"
        parts = [headline, decision.sentence, decision.policy_note, *reasons, signature(started_by())]
        message = "\n\n".join(filter(None, parts))
        try:
            workspace.git("commit", "--quiet", "--message", message, "--only", "--", *files)
        except Problem as problem:
            raise Problem("The round is not committed.", problem.details, advise(problem.details)) from None
        return f"Committed: {headline}."
    return "Nothing to commit: this round is committed already."


def count_changes_since(workspace: Workspace, revision: str) -> tuple[int, int]:
    """Count the images that were added and those whose label was corrected since a revision, by the lineage."""
    return count_changes(parse_lineage(workspace.read_at(revision, LINEAGE)), read_lineage(workspace.lineage))


def end_round(
    workspace: Workspace,
    plan: pd.DataFrame,
    decision: Decision,
    *,
    publish: bool,
    publish_anyway: str = "",
    tag: bool = True,
    removed: str = "",
    require_acceptance: bool = False,
) -> str:
    """Publish the round if `publish` is set, and report the steps and the state of the round in sentences."""
    if require_acceptance and not (decision.accepted or publish_anyway):
        raise Problem(f"The new model is not accepted. {decision.sentence}", decision.failures)
    done = []
    if publish:
        done = publish_round(workspace, plan, decision, anyway=publish_anyway, tag=tag, removed=removed)
    return "\n".join([*done, tell_state(workspace)])
