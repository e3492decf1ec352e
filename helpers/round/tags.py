"""The tags of models, ``model/v1`` and so on: each number is given once."""

import re
from contextlib import suppress

from helpers.problems import Problem
from helpers.workspace import Workspace

TAGS = "model/v*"
REMOTE_TAGS = "refs/retrain"  # all tags that the remote has shown: a fetch neither removes them nor those of a person


def list_tags(workspace: Workspace, *options: str) -> list[str]:
    """List the refs of the tags of models: those that the remote has shown come before those that are here."""
    places = f"{REMOTE_TAGS}/{TAGS}", f"refs/tags/{TAGS}"
    return workspace.git("for-each-ref", "--format=%(refname)", *options, *places).split()


def name_tag(ref: str) -> str:
    """The name of a tag that `list_tags` lists."""
    return ref.split("/", 2)[2]


def fetch_tags(workspace: Workspace, remote: str) -> None:
    """Note the tags that the remote has, and keep all that it once had: each number is given once.

    However fetching is configured, the tags that are here stay as they are.
    """
    options = ["--quiet", "--no-tags", "--no-prune", "--no-prune-tags", "--refmap="]
    workspace.git("fetch", *options, remote, f"+refs/tags/{TAGS}:{REMOTE_TAGS}/{TAGS}")


def drop_taken_tag(workspace: Workspace, remote: str, commit: str, tag: str) -> list[str]:
    """Remove the tag of a round's commit, and say so, if the remote has given its number to another model."""
    with suppress(Problem):  # the remote has no such tag
        if workspace.commit_of(f"{REMOTE_TAGS}/{tag}") != workspace.commit_of(commit):
            workspace.git("tag", "--delete", tag)
            return [f"`{tag}` names another model on `{remote}`, so that this one gets another number."]
    return []


def give_tag(workspace: Workspace, commit: str, message: str) -> str:
    """Tag a round's commit with the next ``model/v…``, unless it has a tag; return the tag's ref."""
    if tags := list_tags(workspace, f"--points-at={commit}"):
        return tags[0]
    numbers = re.findall(r"/v([0-9]+)$", "\n".join(list_tags(workspace)), re.MULTILINE)
    tag = f"model/v{max(map(int, numbers), default=0) + 1}"
    workspace.git("tag", "--annotate", "--message", message, tag, commit)
    return f"refs/tags/{tag}"
