"""A round fails at its start or not at all."""

from contextlib import suppress

import pytest
from PIL import Image
from rounds import PARAMETERS, colleague_of, images_of, merge_something, publish, publish_images

from helpers.problems import EndOfRun, Problem
from helpers.round.start import start_round


def test_everything_that_will_fail_later_is_said_at_the_start(tiny):
    (tiny.root / "params.yaml").write_text("prepare: {}\ntrain: {}\n")
    tiny.git("checkout", "--quiet", "--detach")
    before = tiny.git("status", "--porcelain")
    wrong = {
        "baseline": "nowhere",
        "on_problem": "stp",
        "on_disagreement": "ask",
        "on_suspect": "burn",
        "publish": True,
    }
    with pytest.raises(Problem) as problem:
        start_round(tiny, **PARAMETERS | wrong)
    for named in ("`nowhere`", "'stp'", "'ask'", "'burn'", "no branch", "prepare.seed", "train.epochs", "decide"):
        assert named in str(problem.value)
    assert tiny.git("status", "--porcelain") == before


@pytest.mark.slow
def test_a_baseline_whose_model_is_lost_is_said_at_the_start(tiny):
    for cached in (tiny.root / ".dvc/cache").rglob("*"):
        if cached.is_file():
            cached.unlink()
    tiny.root.with_name("demo-storage").rename(tiny.root.with_name("lost"))
    with pytest.raises(Problem, match="neither in DVC's cache nor in its remote"):
        start_round(tiny, **PARAMETERS)


def test_images_of_an_earlier_commit_are_refused_until_they_are_pulled(tiny):
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    merge_something(tiny)
    publish(tiny)
    start_round(tiny, **PARAMETERS)  # a round that is run again has its own images
    colleague.git("pull", "--quiet")
    with pytest.raises(Problem, match=r"(?s)data/raw lacks images of the last commit: 1.*dark/new.png.*dvc pull"):
        start_round(colleague, **PARAMETERS)
    colleague.dvc("pull", quiet=True)
    assert images_of(colleague) == images_of(tiny)
    start_round(colleague, **PARAMETERS)


@pytest.fixture
def behind(tiny):
    """A workspace with a round of its own, whose remote has the round of a colleague with 20 more images."""
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    merge_something(tiny)
    publish_images(colleague, 20)
    return tiny


def assert_refused_until_pulled(workspace):
    with pytest.raises(Problem, match="data/raw lacks images of the last commit: 20"):
        start_round(workspace, **PARAMETERS | {"publish": True})
    workspace.git("restore", "data/raw.dvc")
    workspace.dvc("pull", "--force", quiet=True)
    start_round(workspace, **PARAMETERS | {"publish": True})


@pytest.mark.slow
def test_a_round_after_one_that_was_taken_back_needs_the_images_of_the_colleague(behind):
    with pytest.raises(Problem, match="rejected"):
        publish(behind)
    with suppress(Problem):
        behind.git("pull", "--quiet", "--rebase")  # a conflict, as docs/troubleshooting.md foretells
    behind.git("rebase", "--abort")
    behind.git("reset", "--quiet", "--hard", "@{upstream}")
    assert_refused_until_pulled(behind)


@pytest.mark.slow
def test_so_does_one_after_a_pull_beside_an_open_round_though_dvc_has_rewritten_its_pointer(behind):
    behind.git("stash", "--quiet", "--include-untracked")
    behind.git("pull", "--quiet")
    behind.reproduce()
    assert "data/raw.dvc" in behind.git("status", "--porcelain")
    assert_refused_until_pulled(behind)


@pytest.mark.slow
def test_images_of_another_branch_are_refused(tiny):
    tiny.git("switch", "--quiet", "--create", "work")
    merge_something(tiny)
    tiny.git("commit", "--quiet", "--all", "--message", "A round")
    tiny.git("switch", "--quiet", "main")
    with pytest.raises(Problem, match="data/raw has the images of"):
        start_round(tiny, **PARAMETERS)


@pytest.mark.slow
def test_images_that_a_commit_has_taken_out_do_not_come_back_by_a_pull_of_git_alone(tiny):
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    next((colleague.raw / "dark").iterdir()).unlink()
    commit_images(colleague)
    colleague.dvc("push", quiet=True)
    colleague.git("push", "--quiet")
    tiny.git("pull", "--quiet")
    tiny.reproduce()  # it rewrites the pointer
    with pytest.raises(Problem, match="data/raw has the images of"):
        start_round(tiny, **PARAMETERS)


def commit_images(workspace):
    workspace.dvc("add", "data/raw", quiet=True)
    workspace.git("commit", "--quiet", "--message", "Images", "--only", "data/raw.dvc")


def test_images_that_a_person_took_out_are_missed_until_that_is_committed(tiny):
    image = next((tiny.raw / "dark").iterdir())
    image.unlink()
    tiny.dvc("add", "data/raw", quiet=True)
    with pytest.raises(Problem, match=f"(?s)lacks images .*: 1.*dark/{image.name}.*dvc add data/raw"):
        start_round(tiny, **PARAMETERS)
    commit_images(tiny)
    start_round(tiny, **PARAMETERS)


def test_images_that_a_person_renamed_moved_or_added_are_welcome_and_so_are_other_files(tiny):
    (tiny.raw / "notes.txt").write_text("not an image")
    commit_images(tiny)
    (tiny.raw / "notes.txt").unlink()
    moved, renamed = list((tiny.raw / "dark").iterdir())[:2]
    moved.rename(tiny.raw / "light/moved.png")
    renamed.rename(tiny.raw / "dark/renamed.png")
    Image.new("L", (8, 8), 77).save(tiny.raw / "dark/new.png")
    start_round(tiny, **PARAMETERS)


def test_without_a_pointer_at_head_there_is_nothing_to_miss(tiny):
    tiny.git("rm", "--quiet", "--cached", "data/raw.dvc")
    tiny.git("commit", "--quiet", "--message", "Forget the images")
    next((tiny.raw / "dark").iterdir()).unlink()
    start_round(tiny, **PARAMETERS)


def test_publishing_and_declining_at_once_is_refused(tiny):
    with pytest.raises(Problem, match="not both"):
        start_round(tiny, **PARAMETERS | {"publish": True, "decline": True})


def test_declining_needs_no_other_parameter_to_be_right(tiny):
    merge_something(tiny)
    with pytest.raises(EndOfRun) as end:
        start_round(tiny, **PARAMETERS | {"decline": True, "baseline": "nowhere"})
    assert "Declined" in end.value.sentence
    assert tiny.git("status", "--porcelain") == ""
