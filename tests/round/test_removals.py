"""Images leave the training set by a commit and with a reason, never by accident."""

import re
from contextlib import suppress

import pandas as pd
import pytest
from PIL import Image
from round_steps import (
    LINEAGE,
    PARAMETERS,
    colleague_of,
    images_of,
    merge_something,
    plan_sample,
    publish,
    publish_images,
    run_as_documented,
)

from helpers.hashing import sha256_of
from helpers.problems import Problem
from helpers.round.merging import merge_round
from helpers.round.removals import find_removals, read_removed
from helpers.round.start import start_round
from helpers.round.state import present
from helpers.workspace.stages import reproduce


@pytest.mark.slow
def test_images_of_an_earlier_commit_are_refused_until_they_are_pulled(tiny):
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    merge_something(tiny)
    publish(tiny)
    start_round(tiny, **PARAMETERS)  # a round that is run again has its own images
    colleague.git("pull", "--quiet")
    with pytest.raises(Problem, match=r"(?s)data/raw lacks images of the last commit: 1.*dvc pull.*dark/new.png"):
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


def assert_refused_until_pulled(workspace, what="data/raw lacks images of the last commit: 20"):
    """A round begins when the commands of the message have run, which leave a new export alone."""
    (workspace.root / "extra-data/new.json").write_text("[]")
    with pytest.raises(Problem, match=what) as problem:
        start_round(workspace, **PARAMETERS | {"publish": True})
    for command in re.findall("`(.+?)`", problem.value.advice)[:2]:
        run_as_documented(workspace, command)
    start_round(workspace, **PARAMETERS | {"publish": True})
    assert (workspace.root / "extra-data/new.json").exists()


@pytest.mark.slow
def test_labels_of_an_earlier_commit_are_refused_where_its_images_were_pulled_alone(tiny):
    colleague = colleague_of(tiny)
    colleague.dvc("pull", quiet=True)
    merge_something(tiny)
    publish(tiny)
    colleague.git("pull", "--quiet")
    colleague.dvc("pull", "data/raw.dvc", quiet=True)
    assert_refused_until_pulled(colleague, "data/labels.csv lacks labels of the last commit: 2")
    corrected = LINEAGE.replace("dark/new.png,dark,aa,1,1,2026-01-05", "light/new.png,light,aa,1,1,2026-01-06")
    merge_something(tiny, corrected)
    publish(tiny)
    colleague.git("pull", "--quiet")
    colleague.dvc("pull", "data/raw.dvc", quiet=True)
    assert_refused_until_pulled(colleague, "data/labels.csv lacks labels of the last commit: 1")


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
    reproduce(behind)
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
    reproduce(tiny)  # it rewrites the pointer
    with pytest.raises(Problem, match="data/raw has the images of"):
        start_round(tiny, **PARAMETERS)


def commit_images(workspace, time="2026-01-05T12:00:00Z"):
    workspace.dvc("add", "data/raw", quiet=True)
    files = present(workspace, "data/raw.dvc", "data/labels.csv.dvc")
    workspace.git("add", *files)
    workspace.git(
        "commit", "--quiet", "--allow-empty", "--message", "Images", "--only", *files, GIT_COMMITTER_DATE=time
    )


def test_images_that_a_person_took_out_are_missed_until_that_is_committed(tiny):
    image = next((tiny.raw / "dark").iterdir())
    image.unlink()
    tiny.dvc("add", "data/raw", quiet=True)
    with pytest.raises(Problem, match=f"(?s)lacks images .*: 1.*dvc add data/raw.*dark/{image.name}"):
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


def test_a_folder_that_was_committed_without_images_misses_none(tiny):
    images = tiny.raw.rename(tiny.root / "images")
    tiny.raw.mkdir()
    commit_images(tiny)
    tiny.raw.rmdir()
    images.rename(tiny.raw)
    next((tiny.raw / "dark").iterdir()).unlink()
    start_round(tiny, **PARAMETERS)


def test_without_a_pointer_at_head_there_is_nothing_to_miss(tiny):
    tiny.git("rm", "--quiet", "--cached", "data/raw.dvc")
    tiny.git("commit", "--quiet", "--message", "Forget the images")
    next((tiny.raw / "dark").iterdir()).unlink()
    start_round(tiny, **PARAMETERS)


@pytest.fixture
def merged(tiny):
    """A workspace whose last commit has the labelled images of its export."""
    merge_round(tiny, plan_sample(tiny), tiny.root / "extra-data/annotations.json")
    commit_images(tiny, "2026-01-06T12:00:00+0100")
    return tiny


def image_of(workspace, name):
    (file,) = workspace.raw.glob(f"*/{name}")
    return file


def sha256_and_bytes(file):
    return sha256_of(file), file.read_bytes()


@pytest.mark.slow
def test_images_that_were_taken_out_stay_out_when_their_labels_are_exported_again(merged):
    for name in ("24.png", "25.png"):
        image_of(merged, name).unlink()
    commit_images(merged, "2026-01-07T12:00:00+0100")
    plan = plan_sample(merged, taken_out=find_removals(merged))
    assert (
        sorted(plan.loc[plan["action"] == "leave out", "reason"])
        == ["taken out of the training set on 2026-01-07; label it again to bring it back"] * 2
    )
    assert (plan["action"] == "keep").sum() == 6


@pytest.mark.slow
def test_the_time_of_a_removal_is_that_of_the_latest_commit_that_made_it(merged):
    sha256, content = sha256_and_bytes(image_of(merged, "24.png"))
    image_of(merged, "24.png").rename(merged.raw / "dark/renamed.png")
    commit_images(merged, "2026-01-07T12:00:00+0100")
    assert find_removals(merged) == {}
    (merged.raw / "dark/renamed.png").unlink()
    commit_images(merged, "2026-01-08T12:00:00+0100")
    assert find_removals(merged) == {sha256: pd.Timestamp("2026-01-08T11:00Z")}
    (merged.raw / "dark/24.png").write_bytes(content)
    commit_images(merged, "2026-01-09T12:00:00+0100")
    assert find_removals(merged) == {}
    Image.new("L", (8, 8), 1).save(merged.raw / "dark/24.png")  # another image of the name
    commit_images(merged, "2026-01-10T12:00:00+0100")
    commit_images(merged, "2026-01-11T12:00:00+0100")
    assert find_removals(merged) == {sha256: pd.Timestamp("2026-01-10T11:00Z")}


@pytest.mark.slow
def test_images_of_a_merge_that_was_killed_were_not_taken_out(tiny):
    merge_round(tiny, plan_sample(tiny), tiny.root / "extra-data/annotations.json")
    image_of(tiny, "24.png").unlink()
    assert find_removals(tiny) == {}
    commit_images(tiny)
    assert find_removals(tiny) == {}
    assert (plan_sample(tiny, taken_out=find_removals(tiny))["action"] == "add").sum() == 1


@pytest.mark.slow
def test_publishing_asks_how_many_images_of_the_model_before_are_gone_and_why(tiny):
    for image in list((tiny.raw / "dark").iterdir())[:2]:
        image.unlink()
    commit_images(tiny)
    reproduce(tiny)
    before = tiny.git("status", "--porcelain", "--", "data", "dvc.lock"), tiny.git("rev-parse", "HEAD")
    for removed in ("", "3: blurred"):
        with pytest.raises(Problem, match=r"(?s)2 images of the model before are gone.*removed = '2: <why>'.*dark/"):
            publish(tiny, removed=removed)
    assert (tiny.git("status", "--porcelain", "--", "data", "dvc.lock"), tiny.git("rev-parse", "HEAD")) == before
    publish(tiny, removed="2: blurred")
    assert (
        tiny.git("log", "-1", "--format=%B", "origin/main").rstrip().endswith("Images taken out: 2, because: blurred")
    )
    publish(tiny)  # nothing is left to do, and to explain


@pytest.mark.slow
def test_a_number_of_images_that_is_too_high_is_refused_too(tiny):
    merge_something(tiny)
    with pytest.raises(Problem, match="0 images of the model before are gone, and `removed` counts 1"):
        publish(tiny, removed="1: blurred")


@pytest.mark.parametrize("removed", ["blurred", "20", "20:", ": blurred", "-1: blurred", "two: blurred", " "])
def test_a_removal_without_a_number_or_a_reason_is_refused(removed):
    with pytest.raises(Problem, match="20: blurred"):
        read_removed(removed)


def test_a_removal_has_a_number_and_a_reason():
    assert read_removed("20: blurred: by rain") == (20, "blurred: by rain")
    assert read_removed("") == (0, "")
