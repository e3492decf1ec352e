"""Labels reach the training set once, the newest wins, and the old model has looked at them."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from rounds import LINEAGE as LINEAGE_OF_A_ROUND
from rounds import decide, plan_label, plan_sample

from helpers.comparison.second_look import SecondLook
from helpers.merge.lineage import read_lineage
from helpers.pipeline.paths import RAW
from helpers.problems import EndOfRun
from helpers.round.comparing import compare_models
from helpers.round.declining import remember_workspace
from helpers.round.merging import count_round, end_without_labels, look_again, merge_round
from helpers.round.publishing import publish_round
from helpers.round.verdict import decide_round
from helpers.workspace import DECISION, LINEAGE

PLAN = pd.DataFrame({"action": ["add"]})


def test_the_newest_statement_about_a_label_counts_also_when_it_changed_nothing(tiny):
    Image.new("L", (8, 8), 77).save(tiny.root / "extra-data/picture.png")
    monday, tuesday, wednesday = 5, 6, 7
    export = tiny.root / "extra-data/annotations.json"
    merge_round(tiny, plan_label(tiny, "dark", monday), export)
    merge_round(tiny, plan_label(tiny, "dark", wednesday), export)
    assert read_lineage(tiny.root / LINEAGE)["updated_at"].tolist() == [pd.Timestamp(2026, 1, wednesday, tz="UTC")]
    stale = plan_label(tiny, "light", tuesday)
    assert stale["action"].tolist() == ["keep"]
    merge_round(tiny, stale, export)
    assert (tiny.root / RAW / "dark/picture.png").exists()


def test_a_round_that_states_nothing_new_touches_nothing(tiny):
    Image.new("L", (8, 8), 77).save(tiny.root / "extra-data/picture.png")
    export = tiny.root / "extra-data/annotations.json"
    merge_round(tiny, plan_label(tiny, "dark", 5), export)
    before = (tiny.root / LINEAGE).stat().st_mtime_ns
    merge_round(tiny, plan_label(tiny, "dark", 5), export)
    assert (tiny.root / LINEAGE).stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_round_whose_cache_is_lost_can_be_published_by_the_same_command(tiny):
    export = tiny.root / "extra-data/annotations.json"
    merge_round(tiny, plan_sample(tiny), export)
    tiny.reproduce()
    shutil.rmtree(tiny.root / ".dvc/cache")
    merge_round(tiny, plan_sample(tiny), export)
    tiny.dvc("commit", "--force", quiet=True)
    publish_round(tiny, PLAN, decide(tiny), anyway="a test")


# One picture was skipped, another has a label but no file.
WITHOUT_LABELS = pd.DataFrame({"action": "leave out", "status": ["skipped", "labelled"]})


@pytest.mark.parametrize("images", [0, 2])
def test_a_run_without_labels_ends_before_it_compares_a_model_with_itself(tiny, images):
    with pytest.raises(EndOfRun) as end:
        end_without_labels(tiny, WITHOUT_LABELS[:images])
    assert ("1 skipped, 1 labelled" if images else "is empty") in end.value.sentence


@pytest.mark.parametrize("left", ["an open round", "other settings", "a round to push"])
def test_a_run_without_labels_goes_on_to_what_an_earlier_one_has_left(tiny, left):
    if left == "an open round":
        remember_workspace(tiny)
        tiny.lineage.write_text(LINEAGE_OF_A_ROUND)
    if left == "other settings":
        (tiny.root / "params.yaml").write_text((tiny.root / "params.yaml").read_text().replace("width: 2", "width: 3"))
    if left == "a round to push":
        tiny.save(DECISION, {})
        tiny.git("add", DECISION)
        tiny.git("commit", "--quiet", "--message", "A round")
    end_without_labels(tiny, WITHOUT_LABELS)
    if left == "a round to push":
        tiny.git("push", "--quiet")
        (tiny.root / "params.yaml").write_text((tiny.root / "params.yaml").read_text() + "# A comment.\n")
        with pytest.raises(EndOfRun):
            end_without_labels(tiny, WITHOUT_LABELS)


@pytest.mark.slow
def test_a_round_that_is_run_again_counts_against_the_images_from_before_it(tiny):
    plan = plan_sample(tiny)
    first = count_round(tiny, plan)
    assert first.to_dict() == {"before": {"dark": 12, "light": 12}, "after": {"dark": 16, "light": 16}}
    export = tiny.root / "extra-data/annotations.json"
    merge_round(tiny, plan, export)
    plan = plan_sample(tiny)
    assert count_round(tiny, plan).equals(first)
    tiny.reproduce()
    publish_round(tiny, plan, decide(tiny), anyway="a test")
    assert count_round(tiny, plan_sample(tiny)).equals(first)


@pytest.mark.slow
def test_the_old_model_finds_wrong_labels_before_and_after_they_are_published(sample):
    usable = plan_sample(sample).query("action == 'add'")
    wrong = set(usable["image"].iloc[::20])
    plan, (judged, noise) = look_again(sample, plan_sample(sample, wrong), "keep")
    assert noise
    least = judged.head(len(wrong))
    assert least["image"].isin(wrong).mean() >= 0.85
    assert noise.low <= len(wrong) / len(judged) <= noise.high

    # The merged images are no longer new, but to the model that this round replaces they are.
    export = sample.root / "extra-data/annotations.json"
    merge_round(sample, plan, export)
    sample.reproduce()
    decision = decide_round(sample, compare_models(sample), export, plan, SecondLook(judged, noise))
    publish_round(sample, plan, decision, anyway="a test")
    _, (again, noise_again) = look_again(sample, plan_sample(sample), "keep")
    assert noise_again == noise
    assert again["sha256"].tolist() == judged["sha256"].tolist()


@pytest.mark.slow
def test_suspects_are_left_out_of_the_training_images_alone(sample):
    plan = plan_sample(sample)
    wrong = set(plan.query("action == 'add'")["image"].iloc[::4])
    kept, (_, noise) = look_again(sample, plan_sample(sample, wrong), "keep")
    left, (_, less) = look_again(sample, plan_sample(sample), "leave out")
    assert less
    assert noise
    assert less.share < noise.share / 2
    changed = kept["action"] != left["action"]
    assert changed.sum() > len(wrong) / 2
    assert left.loc[changed, "reason"].str.contains("confirm or correct").all()
    merge_round(sample, left, sample.root / "extra-data/annotations.json")
    merged = {path.stem for path in sample.raw.rglob("*.png")}
    assert not {Path(file).stem for file in left.loc[changed, "source"]} & merged
