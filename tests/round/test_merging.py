"""Labels reach the training set once, the newest wins, and the old model has looked at them."""

import shutil

import pandas as pd
import pytest
from PIL import Image
from round_steps import LINEAGE as LINEAGE_OF_A_ROUND
from round_steps import decide, plan_label, plan_sample

from helpers.merge.lineage import read_lineage
from helpers.pipeline.paths import RAW
from helpers.problems import EndOfRun
from helpers.round.declining import remember_workspace
from helpers.round.merging import count_round, end_without_labels, merge_round
from helpers.round.publishing import publish_round
from helpers.workspace import DECISION, LINEAGE
from helpers.workspace.stages import reproduce

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
    reproduce(tiny)
    shutil.rmtree(tiny.root / ".dvc/cache")
    merge_round(tiny, plan_sample(tiny), export)
    tiny.dvc("commit", "--force", quiet=True)
    publish_round(tiny, PLAN, decide(tiny), anyway="a test")


# One picture was skipped, another has a label but no file.
WITHOUT_LABELS = pd.DataFrame({"action": "leave out", "sha256": "", "scene": "", "status": ["skipped", "labelled"]})


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
    reproduce(tiny)
    publish_round(tiny, plan, decide(tiny), anyway="a test")
    assert count_round(tiny, plan_sample(tiny)).equals(first)
