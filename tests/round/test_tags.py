"""Numbers of models: each is given once, and no tag of a person is lost."""

import pytest
from round_steps import DECISION, colleague_of, merge_something, publish

from helpers.workspace import Workspace

pytestmark = pytest.mark.slow


def tags_of(workspace: Workspace, place: str = "") -> dict[str, str]:
    """The tags of models here, or at the remote, and the commits that they name."""
    listed = workspace.git(*(["ls-remote", "--tags", place] if place else ["show-ref", "--tags", "--dereference"]))
    lines = (line.split() for line in listed.splitlines())
    return {ref.removesuffix("^{}").removeprefix("refs/tags/"): commit for commit, ref in lines}


def give_tag_elsewhere(workspace: Workspace, tag: str) -> str:
    """Let a colleague push a tag of another commit, which is returned."""
    colleague = colleague_of(workspace)
    colleague.git("-c", "user.name=C", "-c", "user.email=c@d", "commit", "--quiet", "--allow-empty", "-m", "Mine")
    colleague.git("tag", tag)
    colleague.git("push", "--quiet", "origin", tag)
    return colleague.git("rev-parse", "HEAD").strip()


def test_tags_that_nobody_has_pushed_yet_survive_a_fetch_that_prunes(tiny):
    baseline = tiny.git("rev-parse", "HEAD").strip()
    for name, value in (("fetch.prune", "true"), ("fetch.pruneTags", "true"), ("remote.origin.tagOpt", "--tags")):
        tiny.git("config", name, value)
    for tag in ("model/v1", "model/v2"):
        tiny.git("tag", "--annotate", "--message", "Mine", tag)
    merge_something(tiny)
    publish(tiny)
    head = tiny.git("rev-parse", "HEAD").strip()
    assert tags_of(tiny) == {"model/v1": baseline, "model/v2": baseline, "model/v3": head}
    assert tags_of(tiny, "origin") == {"model/v3": head}


def test_a_tag_that_nobody_has_pushed_yet_is_not_overwritten_by_another_of_its_name(tiny):
    tiny.git("config", "remote.origin.fetch", "+refs/tags/*:refs/tags/*", "nothing")
    baseline = tiny.git("rev-parse", "HEAD").strip()
    tiny.git("tag", "model/v1")
    theirs = give_tag_elsewhere(tiny, "model/v1")
    merge_something(tiny)
    publish(tiny)
    head = tiny.git("rev-parse", "HEAD").strip()
    assert tags_of(tiny) == {"model/v1": baseline, "model/v2": head}
    assert tags_of(tiny, "origin") == {"model/v1": theirs, "model/v2": head}


def test_a_round_whose_number_a_colleague_has_given_before_it_was_pushed_gets_another_and_says_so(tiny):
    tiny.git("branch", "--unset-upstream")
    merge_something(tiny)
    assert "Tagged `model/v1`." in publish(tiny)
    theirs = give_tag_elsewhere(tiny, "model/v1")
    tiny.git("branch", "--set-upstream-to=origin/main")
    done = publish(tiny)
    assert "`model/v1` names another model on `origin`, so that this one gets another number." in done
    head = tiny.git("rev-parse", "HEAD").strip()
    assert tags_of(tiny) == {"model/v2": head}
    assert tags_of(tiny, "origin") == {"model/v1": theirs, "model/v2": head}


def test_a_number_is_not_given_again_when_its_tag_is_gone_everywhere(tiny):
    merge_something(tiny)
    publish(tiny)
    tiny.git("push", "--quiet", "origin", ":refs/tags/model/v1")
    tiny.git("tag", "--delete", "model/v1")
    publish(tiny, decision=DECISION | {"sentence": "Better once more."})
    assert list(tags_of(tiny, "origin")) == ["model/v2"]


def test_the_tag_that_a_pull_request_has_given_is_taken_as_it_is(tiny):
    merge_something(tiny)
    publish(tiny, tag=False)
    colleague = colleague_of(tiny)
    colleague.git("tag", "model/v7")
    colleague.git("push", "--quiet", "origin", "model/v7")
    publish(tiny)
    assert tags_of(tiny) == tags_of(tiny, "origin") == {"model/v7": tiny.git("rev-parse", "HEAD").strip()}
