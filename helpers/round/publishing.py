"""Publish a round with DVC and git."""

from contextlib import suppress
from typing import Any

import pandas as pd

from helpers.comparison.decision import DecideParams, failed_rules
from helpers.merge.lineage import count_changes, parse_lineage, read_lineage
from helpers.pipeline.model import load_classifier
from helpers.pipeline.params import read_params
from helpers.pipeline.paths import MODEL, PARAMS
from helpers.problems import Problem
from helpers.round.record import read_decision
from helpers.round.state import BEFORE, POINTERS, TAGS, find_round, present, round_files, tell_state
from helpers.round.unattended import signature, started_by
from helpers.workspace import DECISION, LINEAGE, Workspace

PUBLISHED_BECAUSE = "Not accepted, published because:"  # in the message of a commit, before the reason


def publish_round(
    workspace: Workspace, plan: pd.DataFrame, decision: dict[str, Any], *, anyway: str = "", tag: bool = True
) -> list[str]:
    """Push the data to DVC's remote, commit the files of the round, tag an accepted model, and push commit and tag.

    In this order git's remote never points at data that DVC's remote lacks. A missing remote is reported, not fatal;
    after a failed step, the same call continues. Nothing else in the index or the working tree is committed, and no
    other tag is pushed. The sentences that come back tell which steps were done, and which were not.

    `anyway` is the reason for publishing a model that is not accepted; it goes into the commit message. Without `tag`
    an accepted model gets no tag yet: a pull request still decides.
    """
    if not decision["accepted"] and not anyway.strip():
        raise Problem(
            "Not published: the model is not accepted.",
            failed_rules(decision),
            "To publish it all the same, say why with the parameter `publish_anyway`.",
        )
    branch, storage = require_branch(workspace), workspace.dvc_remote()
    require_committed_code(workspace)
    _require_judged(workspace, decision)
    done = []
    if storage:
        workspace.push_data()
        done.append(f"The data is in DVC's remote `{storage}`.")
    done.append(_commit(workspace, plan, decision, anyway))
    message = decision["sentence"] if tag and decision["accepted"] else ""
    form = "--format=%(upstream:remotename) %(upstream:remoteref)"
    remote, _, ref = workspace.git("for-each-ref", form, f"refs/heads/{branch}").strip().partition(" ")
    if storage and remote:
        return [*done, _tag_and_push(workspace, remote, ref, message)]
    if message:
        done.append(f"Tagged `{_give_tag(workspace, message)}`.")
    if not storage:
        done.append("Not pushed: DVC has no remote. `dvc remote add --default <name> <url>` adds one; then again.")
    else:
        done.append(f"Not pushed: `{branch}` has no upstream. `git push --set-upstream <remote> {branch}` sets one.")
    return done


def require_branch(workspace: Workspace) -> str:
    """Return the branch that is checked out; raise a `Problem` if there is none to publish on."""
    branch = workspace.git("branch", "--show-current").strip()
    if not branch:
        raise Problem("Nothing can be published: no branch is checked out.", advice="`git switch -c <name>` makes one.")
    return branch


def require_committed_code(workspace: Workspace) -> None:
    """Raise a `Problem` if git would not have the code of the stages that made the model."""
    status = workspace.git("status", "--porcelain", "--untracked-files=all", "--", *workspace.code_of_stages())
    if status:
        raise Problem(
            "Nothing can be published: the stages use code that is not committed.",
            [line[3:] for line in status.splitlines()],
            "Commit it (`git add`, `git commit`). Then the same again.",
        )


def _require_judged(workspace: Workspace, decision: dict[str, Any]) -> None:
    """Raise a `Problem` if the workspace holds other data, settings or another model than the decision is about."""
    changes = workspace.status("dvc.yaml", *present(workspace, *POINTERS))
    if not changes:
        model = load_classifier((workspace.root / MODEL).read_bytes(), MODEL).version
        if model != decision["model"]:
            changes.append(f"model {decision['model']} was judged, and model {model} is there")
        if read_params(DecideParams, workspace.root / PARAMS).model_dump() != decision["policy"]:
            changes.append(f"{PARAMS} has another policy of the decision")
        if read_decision(workspace) != decision:
            changes.append(f"{DECISION} holds another decision")
    if changes:
        raise Problem(
            "Not published: the workspace has changed since the models were compared.",
            changes,
            "Run the notebook again: it compares the model that is there then.",
        )


def _tag_and_push(workspace: Workspace, remote: str, ref: str, message: str) -> str:
    """Push the branch and, if there is a message for it, a tag of the round to the upstream: both or neither."""
    tag, tags = "", f"refs/tags/{TAGS}"
    try:
        # Fetch the tags of others first: each number is given once.
        workspace.git("fetch", "--quiet", "--no-tags", remote, f"+{tags}:{tags}")
        tag = _give_tag(workspace, message) if message else ""
        workspace.git("push", "--atomic", remote, f"HEAD:{ref}", *([f"refs/tags/{tag}"] if tag else []))
    except Problem as problem:
        if tag and not workspace.git("ls-remote", remote, f"refs/tags/{tag}"):
            workspace.git("tag", "--delete", tag)  # after a rebase, the new commit gets the tag
        advice = (
            f"If `{remote}` has commits that are not here, `git pull --rebase` brings them. Then the same again. If a "
            "round of somebody else is among them, see docs/troubleshooting.md."
        )
        raise Problem("The round is committed, but not pushed.", problem.details, advice) from None
    tagged = f", and its tag `{tag}` with it" if tag else ""
    return f"The round is pushed to `{ref.removeprefix('refs/heads/')}` of `{remote}`{tagged}."


def _give_tag(workspace: Workspace, message: str) -> str:
    """Tag the round's commit with the next ``model/v…``, unless an earlier run has done so; return the tag."""
    commit, tag = find_round(workspace)
    if not tag:
        numbers = workspace.git("tag", "--list", TAGS).replace("model/v", "").split()
        tag = f"model/v{max(map(int, filter(str.isdigit, numbers)), default=0) + 1}"
        workspace.git("tag", "--annotate", "--message", message, tag, commit)
    return tag


def _commit(workspace: Workspace, plan: pd.DataFrame, decision: dict[str, Any], anyway: str) -> str:
    files = present(workspace, *round_files(workspace))
    workspace.git("add", "--", *files)
    if workspace.git("status", "--porcelain", "--", *files):
        # A second run's plan only keeps the images that the first one added: count from the lineage.
        added, moved = count_changes_since(workspace, "HEAD")
        left_out = plan["action"].eq("leave out").sum()
        headline = f"Retrain: images {added} added, {moved} moved, {left_out} left out"
        reason = [f"{PUBLISHED_BECAUSE} {anyway}"] if not decision["accepted"] else []
        message = "\n\n".join([headline, decision["sentence"], *reason, signature(started_by())])
        workspace.git("commit", "--quiet", "--message", message, "--only", "--", *files)
        done = f"Committed: {headline}."
    else:
        done = "Nothing to commit: this round is committed already."
    with suppress(Problem):  # no round was open
        workspace.git("update-ref", "-d", BEFORE)
    return done


def count_changes_since(workspace: Workspace, revision: str) -> tuple[int, int]:
    """Count the images that were added and those whose label was corrected since a revision, by the lineage."""
    return count_changes(parse_lineage(workspace.read_at(revision, LINEAGE)), read_lineage(workspace.lineage))


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
