"""The other end of a round: the workspace from before it is given back whole."""

import hashlib
import itertools
import multiprocessing
import os
import sys

import pytest
from PIL import Image
from round_steps import LINEAGE, go_back, images_of, merge_something, plan_label, publish, tree_of

from helpers.merge.apply import apply_merge
from helpers.problems import Problem
from helpers.round.declining import decline_round, remember_workspace
from helpers.round.merging import merge_round
from helpers.round.state import DECLINED, tell_state
from helpers.workspace import Workspace
from helpers.workspace.stages import reproduce


def commit_a_label(workspace: Workspace, label: str) -> None:
    """Merge one picture, and commit it with its lineage."""
    Image.new("L", (8, 8), 77).save(workspace.root / "extra-data/picture.png")
    merge_round(workspace, plan_label(workspace, label, day=5), workspace.root / "extra-data/annotations.json")
    workspace.git("add", "data")
    workspace.git("commit", "--quiet", "--message", "A label")


@pytest.mark.slow
@pytest.mark.parametrize("uncommitted", [False, True])
def test_declining_gives_back_the_workspace_that_was_there(tiny, uncommitted):
    if uncommitted:
        Image.new("L", (8, 8), 200).save(tiny.root / "data/raw/light/mine.png")
        tiny.dvc("add", "data/raw", quiet=True)
        reproduce(tiny)
    before = tree_of(tiny), tiny.git("status", "--porcelain")
    merge_something(tiny)
    merged = images_of(tiny)
    decline_round(tiny)
    assert (tree_of(tiny), tiny.git("status", "--porcelain")) == before
    cached = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (tiny.root / ".dvc/cache").rglob("*") if p.is_file()}
    assert set(merged.values()) <= cached


@pytest.mark.slow
def test_declining_leaves_new_pictures_and_exports_alone(tiny):
    before = images_of(tiny)
    (tiny.root / "extra-data/project-1.json").write_text("[]")
    merge_something(tiny)
    decline_round(tiny)
    assert images_of(tiny) == before
    assert (tiny.root / "extra-data/project-1.json").read_text() == "[]"


@pytest.mark.slow
def test_a_round_that_was_run_twice_is_declined_whole(tiny):
    before = tree_of(tiny)
    merge_something(tiny)
    Image.new("L", (8, 8), 99).save(tiny.root / "data/raw/light/second.png")
    merge_something(tiny)
    decline_round(tiny)
    assert tree_of(tiny) == before


@pytest.mark.slow
def test_a_round_is_declined_whole_although_other_things_were_committed_since(tiny):
    before = tree_of(tiny)
    merge_something(tiny)
    (tiny.root / "README.md").write_text("A typo less.")
    (tiny.root / "params.yaml").write_text((tiny.root / "params.yaml").read_text() + "# A comment.\n")
    tiny.git("commit", "--quiet", "--message", "Something else", "--only", "README.md", "params.yaml")
    Image.new("L", (8, 8), 99).save(tiny.root / "data/raw/light/second.png")
    merge_something(tiny)
    decline_round(tiny)
    after = tree_of(tiny)
    assert after.pop("params.yaml").endswith(b"# A comment.\n")
    assert after == {path: content for path, content in before.items() if path != "params.yaml"}
    assert tiny.git("status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.parametrize("committed", [True, False])
def test_notes_beside_the_evaluation_neither_end_the_round_nor_go_with_it(tiny, committed):
    before = tree_of(tiny)
    merge_something(tiny)
    notes = tiny.root / "evaluation/notes.md"
    notes.write_text("The light pictures are from another camera.")
    if committed:
        tiny.git("add", "evaluation/notes.md")
        tiny.git("commit", "--quiet", "--message", "Notes", "--only", "evaluation/notes.md")
    decline_round(tiny)
    assert notes.exists()
    notes.unlink()
    assert tree_of(tiny) == before


@pytest.mark.slow
def test_a_round_that_was_committed_by_hand_is_over(tiny):
    merge_something(tiny)
    tiny.git("add", "data", "evaluation")
    tiny.git("commit", "--quiet", "--message", "By hand")
    tiny.git("push", "--quiet")
    with pytest.raises(Problem, match="no round to decline"):
        decline_round(tiny)
    committed = tree_of(tiny)
    Image.new("L", (8, 8), 99).save(tiny.root / "data/raw/light/second.png")
    tiny.dvc("add", "data/raw", quiet=True)
    with_second = tree_of(tiny)
    merge_something(tiny, LINEAGE.replace("dark/new.png,dark,aa", "dark/new.png,dark,cc"))
    decline_round(tiny)
    assert committed != with_second == tree_of(tiny)


def stash_away(workspace: Workspace) -> None:
    workspace.git("stash", "--quiet", "--include-untracked")
    workspace.git("stash", "drop", "--quiet")


def commit_and_revert(workspace: Workspace) -> None:
    workspace.git("add", "data", "evaluation", "dvc.lock")
    workspace.git("commit", "--quiet", "--message", "By hand")
    workspace.git("revert", "--no-edit", "HEAD")


@pytest.mark.slow
@pytest.mark.parametrize("undo", [stash_away, commit_and_revert])
def test_images_that_came_after_a_round_was_undone_by_hand_stay_when_the_next_one_is_declined(tiny, undo):
    commit_a_label(tiny, "dark")
    merge_something(tiny)
    undo(tiny)
    tiny.dvc("checkout", "data/raw.dvc", "data/labels.csv.dvc", "dvc.yaml", quiet=True)
    Image.new("L", (8, 8), 200).save(tiny.raw / "light/mine.png")
    tiny.dvc("add", "data/raw", quiet=True)
    before = tree_of(tiny)
    with pytest.raises(Problem, match="no round to decline"):
        decline_round(tiny)
    merge_something(tiny)
    decline_round(tiny)
    assert tree_of(tiny) == before


@pytest.mark.slow
@pytest.mark.parametrize("merged_again", [False, True])
def test_a_merge_that_was_killed_when_its_images_had_moved_is_declined_whole(tiny, merged_again):
    commit_a_label(tiny, "dark")
    before = tree_of(tiny)
    correction, export = plan_label(tiny, "light", day=6), tiny.root / "extra-data/annotations.json"

    def merge_until_the_lineage_is_renamed() -> None:
        renames = itertools.count()
        sys.addaudithook(lambda event, _: os._exit(9) if event == "os.rename" and next(renames) == 1 else None)
        apply_merge(correction, tiny.raw, tiny.lineage, "ee", hashes=tiny.hashes)

    remember_workspace(tiny)
    child = multiprocessing.get_context("fork").Process(target=merge_until_the_lineage_is_renamed)
    child.start()
    child.join()
    assert child.exitcode == 9
    assert (tiny.raw / "light/picture.png").exists()
    if merged_again:
        merge_round(tiny, plan_label(tiny, "light", day=6), export)
    decline_round(tiny)
    assert tree_of(tiny) == before


@pytest.mark.slow
def test_a_published_round_cannot_be_declined(tiny):
    merge_something(tiny)
    publish(tiny)
    with pytest.raises(Problem, match="no round to decline"):
        decline_round(tiny)


@pytest.mark.slow
def test_a_backbone_that_comes_in_between_neither_ends_the_round_nor_is_lost(tiny):
    before = tree_of(tiny)
    merge_something(tiny)
    committed, loose = tiny.root / "backbones/mine.yaml", tiny.root / "backbones/another.yaml"
    for file in (committed, loose):
        file.write_text("backbone: {}\n")
    tiny.git("add", "backbones/mine.yaml")
    tiny.git("commit", "--quiet", "--message", "A backbone", "--only", "--", "backbones/mine.yaml")
    decline_round(tiny)
    assert tree_of(tiny) == before
    assert committed.exists()
    assert loose.exists()


@pytest.mark.slow
def test_a_declined_round_can_be_had_again(tiny):
    merge_something(tiny)
    merged = tree_of(tiny)
    decline_round(tiny)
    go_back(tiny, DECLINED)
    assert tree_of(tiny) == merged


@pytest.mark.slow
def test_settings_that_were_edited_during_the_round_stay_and_are_named(tiny):
    before = tree_of(tiny)
    merge_something(tiny)
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 2"))
    merged = tree_of(tiny)
    told = decline_round(tiny)
    assert tree_of(tiny) == before | {"params.yaml": merged["params.yaml"]}
    assert "Settings are left as they are: params.yaml." in told
    assert "epochs: 1" in tiny.git("show", f"{DECLINED}^2:params.yaml")


@pytest.mark.slow
def test_declining_is_not_offered_where_nothing_was_merged(tiny):
    params = tiny.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 1", "epochs: 2"))
    reproduce(tiny)
    assert "open" in tell_state(tiny)
    assert "decline" not in tell_state(tiny)
    merge_something(tiny)
    assert "decline" in tell_state(tiny)


@pytest.mark.slow
def test_data_that_only_the_remote_has_is_fetched(tiny):
    before = tree_of(tiny)
    merge_something(tiny)
    tiny.dvc("gc", "--workspace", "--force", quiet=True)
    decline_round(tiny)
    assert tree_of(tiny) == before


@pytest.mark.slow
def test_a_round_whose_past_is_gone_stays_as_it_is(tiny):
    Image.new("L", (8, 8), 200).save(tiny.raw / "light/mine.png")
    merge_something(tiny)
    there = tree_of(tiny)
    tiny.dvc("gc", "--workspace", "--force", quiet=True)
    with pytest.raises(Problem, match="Not declined"):
        decline_round(tiny)
    assert tree_of(tiny) == there


@pytest.mark.slow
def test_the_first_round_of_all_is_declined(tiny):
    tiny.git("rm", "--quiet", "--cached", "dvc.lock")
    tiny.git("commit", "--quiet", "--message", "Forget the model")
    (tiny.root / "dvc.lock").unlink()
    before = images_of(tiny)
    merge_something(tiny)
    decline_round(tiny)
    assert images_of(tiny) == before
    assert not (tiny.root / "dvc.lock").exists()


@pytest.mark.slow
def test_what_was_staged_is_declined_too(tiny):
    merge_something(tiny)
    tiny.git("add", "data", "evaluation", "dvc.lock")
    decline_round(tiny)
    assert tiny.git("status", "--porcelain") == ""
