"""A round in a real workspace: it fails at its start or not at all, and its decision names the compared models."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from rounds import PARAMETERS

from helpers.comparison.second_look import SecondLook
from helpers.labels import read_export
from helpers.merge.lineage import read_lineage
from helpers.merge.plan import plan_merge
from helpers.pipeline.model import load_classifier
from helpers.pipeline.paths import MODEL, RAW, TRAINING_SECONDS
from helpers.problems import EndOfRun, Problem
from helpers.round.comparing import compare_models
from helpers.round.merging import count_round, end_without_labels, look_again, merge_round
from helpers.round.publishing import decline_round, publish_round, remember_workspace
from helpers.round.seed_noise import measure_seed_noise
from helpers.round.start import start_round
from helpers.round.verdict import decide_round
from helpers.workspace import DECISION, LINEAGE, Workspace

PLAN = pd.DataFrame({"action": ["add"]})


def train(workspace: Workspace, epochs: int) -> None:
    params = workspace.root / "params.yaml"
    lines = params.read_text().splitlines(keepends=True)
    params.write_text("".join(f"  epochs: {epochs}\n" if line.startswith("  epochs:") else line for line in lines))
    workspace.reproduce()


def decide(workspace: Workspace, baseline: str = "HEAD") -> dict[str, Any]:
    export = workspace.root / "extra-data/annotations.json"
    return decide_round(workspace, compare_models(workspace, baseline), export)


def version_at(workspace: Workspace, revision: str) -> str:
    return load_classifier(workspace.read_at(revision, MODEL) or b"").version


def version(workspace: Workspace) -> str:
    return load_classifier((workspace.root / MODEL).read_bytes()).version


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


def test_publishing_and_declining_at_once_is_refused(tiny):
    with pytest.raises(Problem, match="not both"):
        start_round(tiny, **PARAMETERS | {"publish": True, "decline": True})


def test_declining_needs_no_other_parameter_to_be_right(tiny):
    remember_workspace(tiny)
    (tiny.root / "evaluation/metrics.json").write_text("{}")
    with pytest.raises(EndOfRun) as end:
        start_round(tiny, **PARAMETERS | {"decline": True, "baseline": "nowhere"})
    assert "Declined" in end.value.sentence
    assert tiny.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_a_model_that_head_refuses_cannot_be_published_against_an_older_one(sample):
    train(sample, epochs=2)
    sample.git("commit", "--quiet", "--all", "--message", "A poor model")
    poor = version_at(sample, "HEAD")
    train(sample, epochs=8)
    sample.git("commit", "--quiet", "--all", "--message", "A good model")
    good = version_at(sample, "HEAD")
    train(sample, epochs=4)
    assert not decide(sample)["accepted"]

    decision = decide(sample, "HEAD~1")
    assert decision["verdict"] == "better"
    assert not decision["accepted"]
    (rule,) = [rule for rule in decision["rules"] if not rule["passed"]]
    assert poor in rule["explanation"]
    assert good in rule["explanation"]
    with pytest.raises(Problem, match="not accepted"):
        publish_round(sample, PLAN, decision)

    publish_round(sample, PLAN, decision, anyway="only to show it")
    message = sample.git("log", "-1", "--format=%B")
    names = [decision["model"], poor, sample.git("rev-parse", "--short", "HEAD~2").strip()]
    assert all(name in message and name in decision["sentence"] for name in names)
    again = decide(sample)
    assert again["replaces_commit"] == again["baseline_commit"] == sample.git("rev-parse", "HEAD~1").strip()
    assert not again["accepted"]


@pytest.mark.slow
@pytest.mark.parametrize("baseline_is_other", [False, True])
def test_models_of_other_networks_sizes_and_colours_are_compared(tiny, baseline_is_other):
    """Each model answers with its own graph, whatever `build_network` is by now."""
    network, params = tiny.root / "helpers/pipeline/network.py", tiny.root / "params.yaml"
    usual = network.read_text(), params.read_text()
    other = "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))\n"
    network.write_text(usual[0].replace("    sizes = [", other + "    sizes = [", 1))
    params.write_text(usual[1].replace("colour: rgb", "colour: grey").replace("image_size: 32", "image_size: 24"))
    assert tiny.reproduce() == "trained"
    if baseline_is_other:
        tiny.git("commit", "--quiet", "--all", "--message", "Another network")
        network.write_text(usual[0])
        params.write_text(usual[1].replace("  seed: 42", "  seed: 43").replace("seed: 43", "seed: 42", 1))
        assert tiny.reproduce() == "trained"
    compared = compare_models(tiny)
    assert len(compared.scored) > 0
    assert {compared.old, compared.new} == {version_at(tiny, "HEAD"), version(tiny)}
    decision = decide(tiny)
    assert any("network.py" in note for note in decision["notes"])


@pytest.mark.slow
def test_another_baseline_with_the_same_model_is_as_good_as_head(sample):
    sample.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
    train(sample, epochs=9)
    assert "baseline" not in [rule["rule"] for rule in decide(sample, "HEAD~1")["rules"] if not rule["passed"]]


@pytest.mark.slow
def test_models_that_were_declined_count_among_those_that_the_held_out_images_judged(tiny):
    versions = []
    for epochs in (2, 3, 4):
        remember_workspace(tiny)
        train(tiny, epochs)
        versions.append(decide(tiny)["model"])
        assert decide(tiny)["judged"] == versions
        decline_round(tiny)
    train(tiny, epochs=5)
    decision = decide(tiny)
    assert decision["judged"] == [*versions, decision["model"]]
    assert any("4 models" in note for note in decision["notes"])
    publish_round(tiny, PLAN, decision, anyway="a test")
    tiny.git("clone", "--quiet", str(tiny.root.with_name("demo.git")), str(tiny.root.with_name("colleague")))
    colleague = json.loads((tiny.root.with_name("colleague") / "evaluation/decision.json").read_text())
    assert colleague["judged"] == decision["judged"]


def plan_label(workspace: Workspace, label: str, day: int) -> pd.DataFrame:
    """The plan for an export in which somebody gave one picture this label on that day of January."""
    labels = pd.DataFrame(
        {
            "image": ["/data/upload/1/12345678-picture.png"],
            "file": ["12345678-picture.png"],
            "label": [label],
            "status": ["labelled"],
            "reason": [None],
            "tasks": [(1,)],
            "annotators": [("1",)],
            "labels": [(label,)],
            "updated_at": [pd.Timestamp(2026, 1, day, tz="UTC")],
            "lead_time": [1.0],
            "by_model": [False],
        }
    )
    raw = workspace.root / RAW
    return plan_merge(labels, workspace.root / "extra-data", raw, lineage=workspace.root / LINEAGE)


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
    if left == "other settings":
        (tiny.root / "params.yaml").write_text((tiny.root / "params.yaml").read_text() + "# other\n")
    if left == "a round to push":
        tiny.save(DECISION, {})
        tiny.git("add", DECISION)
        tiny.git("commit", "--quiet", "--message", "A round")
    end_without_labels(tiny, WITHOUT_LABELS)
    if left == "a round to push":
        tiny.git("push", "--quiet")
        with pytest.raises(EndOfRun):
            end_without_labels(tiny, WITHOUT_LABELS)


def plan_sample(sample: Workspace, wrong: Collection[str] = ()) -> pd.DataFrame:
    """The plan for the labels of the sample, of which those of the named tasks are made wrong."""
    export = sample.root / "extra-data/annotations.json"
    rows = json.loads(export.read_text())
    for row in rows:
        if row["image"] in wrong:
            row["choice"] = str((int(row["choice"]) + 3) % 10)
    export.write_text(json.dumps(rows))
    labels = read_export(export)
    return plan_merge(labels, sample.root / "extra-data", sample.raw, lineage=sample.lineage, on_problem="skip")


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
    decision = decide_round(sample, compare_models(sample), export, SecondLook(judged, noise))
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


@pytest.mark.slow
def test_the_effect_of_other_seeds_is_measured_once(sample, monkeypatch):
    merge_round(sample, plan_sample(sample), sample.root / "extra-data/annotations.json")
    sample.reproduce()
    compared = compare_models(sample)
    assert measure_seed_noise(sample, compared, 0) is None
    changes = measure_seed_noise(sample, compared, -1)
    assert changes
    assert len(changes) == 3
    assert any(changes)
    decision = decide_round(sample, compared, sample.root / "extra-data/annotations.json", None, changes)
    assert decision["seed_noise"] == changes
    assert any("Other seeds alone" in note for note in decision["notes"])
    monkeypatch.setattr("helpers.round.seed_noise.ProcessPoolExecutor", None)
    assert measure_seed_noise(sample, compared, -1) == changes
    (sample.root / DECISION).unlink()
    (sample.root / TRAINING_SECONDS).write_text("21.0")
    assert measure_seed_noise(sample, compared, -1) is None
    notes = decide_round(sample, compared, sample.root / "extra-data/annotations.json")["notes"]
    assert any("not measured" in note and "control_seeds" in note for note in notes)
