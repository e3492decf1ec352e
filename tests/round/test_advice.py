"""The remedy fits the answer of git, which is asked here as a round asks it."""

from pathlib import Path

import pytest
from round_steps import merge_something, publish

from helpers.problems import Problem
from helpers.round.advice import OTHERWISE, advise
from helpers.workspace import Workspace


@pytest.fixture
def clone(tmp_path) -> Workspace:
    """A clone with a commit and a tag that its remote lacks."""
    workspace = Workspace(tmp_path / "clone")
    workspace.root.mkdir()
    workspace.git("init", "--quiet", "--initial-branch=main")
    for name, value in (("user.name", "A"), ("user.email", "a@b")):
        workspace.git("config", name, value)
    workspace.git("init", "--quiet", "--bare", "--initial-branch=main", "../remote.git")
    workspace.git("remote", "add", "origin", "../remote.git")
    commit(workspace, "First")
    workspace.git("push", "--quiet", "origin", "HEAD:main")
    commit(workspace, "A round")
    workspace.git("tag", "--annotate", "--message", "Better.", "model/v1")
    return workspace


def commit(workspace: Workspace, message: str) -> None:
    workspace.git("commit", "--quiet", "--allow-empty", "--message", message)


def write_hook(hook: Path, says: str) -> None:
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho '{says}'\necho '{says}' >&2\nexit 1\n")
    hook.chmod(0o755)


def advice_on(workspace: Workspace, *arguments: str) -> str:
    with pytest.raises(Problem) as problem:
        workspace.git(*arguments)
    return advise(problem.value.details, "origin")


def advice_on_push(workspace: Workspace, *options: str) -> str:
    tag = "refs/tags/model/v1:refs/tags/model/v1"
    return advice_on(workspace, *options, "push", "--porcelain", "--atomic", "origin", "HEAD:refs/heads/main", tag)


@pytest.mark.parametrize("is_known", [False, True])
def test_commits_of_others_are_pulled(clone, is_known):
    clone.git("switch", "--quiet", "--detach", "HEAD~1")
    commit(clone, "Of a colleague")
    clone.git(
        "push", "--quiet", *([] if is_known else ["../remote.git"]), *(["origin"] if is_known else []), "HEAD:main"
    )
    clone.git("switch", "--quiet", "main")
    assert "git pull --rebase" in advice_on_push(clone)


@pytest.mark.parametrize("hook", ["update", "pre-receive"])
def test_what_a_protected_branch_refuses_goes_through_a_pull_request(clone, hook):
    says = "error: GH006: Protected branch update failed for refs/heads/main."
    write_hook(clone.root.with_name("remote.git") / "hooks" / hook, says)
    advice = advice_on_push(clone)
    assert "git push origin HEAD:refs/heads/<a new branch>" in advice
    assert "pull --rebase" not in advice


def test_a_number_that_somebody_gave_at_the_same_moment_only_needs_another_run(clone):
    clone.git("push", "--quiet", "origin", "HEAD~1:refs/tags/model/v1")
    assert "run again" in advice_on_push(clone)


@pytest.mark.parametrize(
    ("hook", "command"),
    [
        ("pre-push", ["push", "--porcelain", "--atomic", "origin", "HEAD:refs/heads/main"]),
        ("pre-commit", ["commit", "--allow-empty", "--message", "Another round"]),
    ],
)
def test_a_hook_of_the_clone_is_told_apart_and_all_that_it_says_is_shown(clone, hook, command):
    write_hook(clone.root / ".git/hooks" / hook, "1 test failed")
    with pytest.raises(Problem) as problem:
        clone.git(*command)
    assert problem.value.details.count("1 test failed") == 2  # on its standard output, and where errors go
    assert advise(problem.value.details) == OTHERWISE


@pytest.mark.parametrize("form", ["openpgp", "ssh", "x509"])
@pytest.mark.parametrize("key", ["", "/nowhere/key"])
def test_a_missing_key_is_named_as_the_cause(clone, form, key):
    options = [
        "-c",
        "commit.gpgSign=true",
        "-c",
        f"gpg.format={form}",
        *(["-c", f"user.signingKey={key}"] if key else []),
    ]
    advice = advice_on(clone, *options, "commit", "--allow-empty", "--message", "A round")
    assert "could not sign" in advice


def test_a_server_that_takes_no_signed_push_is_named_as_the_cause(clone):
    assert "could not sign" in advice_on_push(clone, "-c", "push.gpgSign=true")


@pytest.mark.parametrize("address", ["../nowhere.git", "http://127.0.0.1:1/x.git", "ssh://git@127.0.0.1:1/x.git"])
def test_a_remote_that_does_not_answer_is_named(clone, address):
    clone.git("remote", "set-url", "origin", address)
    assert "`origin` does not answer" in advice_on_push(clone)
    assert "`origin` does not answer" in advice_on(clone, "fetch", "origin")


def test_who_has_no_name_tells_it(clone):
    clone.git("config", "--unset", "user.email")
    options = ["-c", "user.useConfigOnly=true"]
    assert "your name" in advice_on(clone, *options, "commit", "--allow-empty", "--message", "A round")


@pytest.mark.slow
def test_a_protected_branch_keeps_the_commit_and_gives_its_number_to_the_pull_request(tiny):
    hook = tiny.root.with_name("demo.git") / "hooks/pre-receive"
    write_hook(hook, "error: GH006: Protected branch update failed for refs/heads/main.")
    merge_something(tiny)
    with pytest.raises(Problem, match="GH006") as problem:
        publish(tiny)
    assert problem.value.headline == "The round is committed, but not pushed."
    assert "pull request" in problem.value.advice
    assert tiny.git("tag") == ""
    hook.unlink()
    tiny.git("push", "--quiet", "origin", "HEAD:refs/heads/round-2")
    assert tiny.git("rev-parse", "origin/round-2") == tiny.git("rev-parse", "HEAD")


@pytest.mark.slow
def test_a_remote_that_is_gone_is_named_and_the_round_is_pushed_when_it_is_back(tiny):
    remote = tiny.root.with_name("demo.git")
    merge_something(tiny)
    remote.rename(remote.with_suffix(".gone"))
    with pytest.raises(Problem, match="`origin` does not answer"):
        publish(tiny)
    remote.with_suffix(".gone").rename(remote)
    publish(tiny)
    assert tiny.git("rev-parse", "HEAD") == tiny.git("rev-parse", "origin/main")


@pytest.mark.slow
def test_a_hook_that_puts_files_into_another_form_stops_a_round_once(tiny):
    hook = tiny.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("""#!/bin/sh
for file in evaluation/*.json; do
    python -m json.tool --sort-keys --indent 2 "$file" > tidy || exit
    cmp -s tidy "$file" || { cp tidy "$file"; echo "fixed $file"; failed=1; }
done
rm tidy
exit ${failed:-0}
""")
    hook.chmod(0o755)
    merge_something(tiny)
    with pytest.raises(Problem, match="fixed evaluation/decision") as problem:
        publish(tiny)
    assert "\n" not in problem.value.headline
    publish(tiny)
    assert tiny.git("rev-parse", "HEAD") == tiny.git("rev-parse", "origin/main")
