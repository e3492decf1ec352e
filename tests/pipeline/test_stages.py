"""The stages: what is held out stays held out, the same data gives the same model, broken pictures are named."""

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from sklearn.metrics import classification_report
from stages import PROJECT, run_stage

from helpers.pipeline import evaluate, prepare, train
from helpers.pipeline.calibration import score
from helpers.pipeline.evaluate import score_classes
from helpers.pipeline.model import load_classifier, save_classifier
from helpers.pipeline.paths import CLASSES, HISTORY, INDEX, METRICS, MODEL, PIXELS, PREDICTIONS, RAW
from helpers.pipeline.prepare import is_held_out
from helpers.problems import Problem


def index_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / INDEX, index_col="sha256")


# prepare


def test_the_index_tells_of_each_image_its_label_and_content(trained):
    index = index_of(trained).reset_index()
    assert len(index) == 60
    for row in index.itertuples():
        path = trained / RAW / row.file
        assert row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert row.label == path.parent.name
    assert not list((trained / "data/prepared").glob("*.npy"))  # pixels are a cache, not data


def test_an_image_stays_on_its_side_when_data_grows_is_renamed_or_is_relabelled(trained):
    before = index_of(trained)["split"]
    assert set(before) == {"train", "held-out"}
    (trained / RAW / "bright/0.png").rename(trained / RAW / "dark/another name.png")
    (trained / RAW / "dark/.DS_Store").write_bytes(b"\0")  # a hidden file is no picture, nor is one in a hidden folder
    (trained / RAW / "dark/.thumbs").mkdir()
    Image.new("RGB", (9, 9)).save(trained / RAW / "dark/.thumbs/1.png")
    for number in range(25):
        Image.new("RGB", (9, 9), (number * 10, 0, 0)).save(trained / RAW / "bright" / f"new-{number}.png")
    prepare.main()
    after = index_of(trained)["split"]
    assert len(after) == 85
    assert after[before.index].equals(before)


def test_the_share_and_the_choice_of_held_out_images_follow_the_settings():
    contents = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(10_000)]
    held_out = np.array([is_held_out(sha256, 42, 0.2) for sha256 in contents])
    other_seed = np.array([is_held_out(sha256, 43, 0.2) for sha256 in contents])
    larger = np.array([is_held_out(sha256, 42, 0.3) for sha256 in contents])
    assert held_out.mean() == pytest.approx(0.2, abs=0.02)
    assert (held_out & other_seed).mean() == pytest.approx(0.04, abs=0.01)
    assert larger[held_out].all()  # a larger share holds out more, and lets none go


def test_every_file_that_is_no_picture_is_named_and_nothing_is_written(trained):
    (trained / RAW / "dark/empty.png").touch()
    for name in ("bright/notes.txt", "dark/copy.txt"):
        (trained / RAW / name).write_text("not a picture")
    whole = trained / RAW / "dark/0.png"
    whole.write_bytes(whole.read_bytes()[:200])
    shutil.rmtree(trained / "data/prepared")
    result = run_stage(trained, sys.executable, "-m", "helpers.pipeline.prepare")
    assert result.returncode == 1
    told = ("4 files", "empty.png", "notes.txt", "copy.txt", "0.png", "an empty file")
    assert all(name in result.stderr for name in told)
    assert "Traceback" not in result.stderr
    assert not (trained / "data/prepared").exists()


def test_a_file_that_cannot_be_read_is_named_without_a_traceback(trained):
    (trained / RAW / "dark/secret.png").symlink_to("/proc/self/mem")  # fails to be read, also for root
    (trained / RAW / "dark/lost.png").symlink_to("nowhere")
    result = run_stage(trained, sys.executable, "-m", "helpers.pipeline.prepare")
    assert result.returncode == 1
    assert all(name in result.stderr for name in ("2 files", "secret.png", "lost.png"))
    assert "Traceback" not in result.stderr


def test_a_class_that_is_a_link_is_not_followed(trained):
    """The merge does not follow it either."""
    (trained / RAW / "dark").rename(trained / "elsewhere")
    (trained / RAW / "dark").symlink_to(trained / "elsewhere")
    with pytest.raises(Problem, match="30 images of 1 classes"):
        prepare.main()


def test_a_single_class_is_not_trained_on(trained):
    shutil.rmtree(trained / RAW / "dark")
    with pytest.raises(Problem, match="30 images of 1 classes"):
        prepare.main()


def test_a_misspelt_setting_stops_the_stage_with_its_name(trained):
    (trained / "params.yaml").write_text((trained / "params.yaml").read_text().replace("image_size", "image_sise"))
    with pytest.raises(Problem, match=r"prepare\.image_sise"):
        prepare.main()


# train and evaluate


@pytest.mark.slow
def test_the_same_data_gives_the_same_model_in_another_process(trained):
    model, history = (trained / MODEL).read_bytes(), pd.read_csv(trained / HISTORY)
    result = run_stage(trained, sys.executable, "-m", "helpers.pipeline.train")
    assert result.returncode == 0, result.stderr
    assert (trained / MODEL).read_bytes() == model
    assert list(history["epoch"]) == [1, 2]
    about = load_classifier(model).description
    assert about.classes == ("bright", "dark")
    assert about.trained_on["images"] == (index_of(trained)["split"] == "train").sum()


def test_scores_are_those_of_scikit_learn_and_of_the_history(trained):
    metrics, predictions = json.loads((trained / METRICS).read_text()), pd.read_csv(trained / PREDICTIONS)
    history, index = pd.read_csv(trained / HISTORY), index_of(trained)
    held_out = index[index["split"] == "held-out"]
    assert predictions[["file", "actual"]].to_numpy().tolist() == held_out[["file", "label"]].to_numpy().tolist()
    report = classification_report(predictions["actual"], predictions["predicted"], output_dict=True, zero_division=0.0)
    assert metrics["accuracy"] == pytest.approx((predictions["actual"] == predictions["predicted"]).mean())
    assert metrics["accuracy"] == pytest.approx(history["held_out_accuracy"].iloc[-1], abs=1e-6)
    assert metrics["f1"] == pytest.approx(report["macro avg"]["f1-score"])
    classes = pd.read_csv(trained / CLASSES, index_col="class")
    assert classes.loc["dark", "recall"] == pytest.approx(report["dark"]["recall"], abs=1e-6)

    classifier = load_classifier((trained / MODEL).read_bytes())
    probabilities = classifier.predict(trained, trained / RAW, held_out.reset_index())
    labels = held_out["label"].map(classifier.description.classes.index).to_numpy()
    calibrated = score(probabilities.to_numpy(), labels)
    assert calibrated["loss"] < history["held_out_loss"].iloc[-1]  # after the last epoch


def test_scores_per_class_are_those_of_scikit_learn_also_for_a_class_that_is_never_predicted():
    chance = np.random.default_rng(0)
    actual = pd.Series(chance.choice(list("abcd"), 50))
    predicted = actual.where(chance.random(50) < 0.6, "a").replace("d", "b")
    report = classification_report(actual, predicted, output_dict=True, zero_division=0.0)
    scores = score_classes(actual, predicted)
    assert not scores.loc[["d"], ["precision", "recall", "f1"]].to_numpy().any()
    for label, row in scores.iterrows():
        theirs = [report[label][name] for name in ("support", "precision", "recall", "f1-score")]
        assert row.tolist() == pytest.approx(theirs)


def test_a_model_that_is_made_too_sure_is_judged_as_if_it_was_not(trained):
    """The model's temperature is fitted on the held-out images, so it must not show in their figures."""
    metrics, predictions = json.loads((trained / METRICS).read_text()), pd.read_csv(trained / PREDICTIONS)
    classifier = load_classifier((trained / MODEL).read_bytes())
    about = classifier.description
    save_classifier(replace(classifier, description=replace(about, temperature=about.temperature / 3)), trained / MODEL)
    evaluate.main()
    assert json.loads((trained / METRICS).read_text())["loss"] == pytest.approx(metrics["loss"], abs=1e-3)
    judged = ["file", "actual", "predicted", "confidence"]
    pd.testing.assert_frame_equal(pd.read_csv(trained / PREDICTIONS)[judged], predictions[judged], atol=1e-3)


def test_drawings_on_a_transparent_ground_are_learnt(tmp_path, monkeypatch):
    """Black discs and bars: all that tells them apart is where the picture is transparent."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    chance = np.random.default_rng(0)
    for label in ("bar", "disc"):
        (tmp_path / RAW / label).mkdir(parents=True)
        for number in range(200):
            drawing, (x, y, r) = Image.new("RGBA", (32, 32)), chance.integers((8, 8, 4), (24, 24, 8)).tolist()
            if label == "disc":
                ImageDraw.Draw(drawing).ellipse((x - r, y - r, x + r, y + r), "black")
            else:
                ImageDraw.Draw(drawing).rectangle((x - 2 * r, y - r // 2, x + 2 * r, y + r // 2), "black")
            drawing.save(tmp_path / RAW / label / f"{number}.png")
    prepare.main()
    train.main()
    index = index_of(tmp_path)
    held_out = index[index["split"] == "held-out"].reset_index()
    model = load_classifier((tmp_path / MODEL).read_bytes())
    predicted = model.predict(tmp_path, tmp_path / RAW, held_out).idxmax(axis=1)
    assert (predicted.to_numpy() == held_out["label"].to_numpy()).mean() >= 0.95


def test_stages_need_no_cache_of_pixels_and_give_the_same_without_it(trained):
    made = [(trained / file).read_bytes() for file in (METRICS, PREDICTIONS, MODEL)]
    shutil.rmtree(trained / PIXELS)
    train.main()
    shutil.rmtree(trained / PIXELS)
    evaluate.main()
    assert [(trained / file).read_bytes() for file in (METRICS, PREDICTIONS, MODEL)] == made


def test_metrics_are_written_as_a_formatter_of_json_leaves_them(trained):
    text = (trained / METRICS).read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_predicting_does_without_pytorch(trained):
    code = "import sys, helpers.pipeline.evaluate as e; e.main(); sys.exit('torch' in sys.modules)"
    assert run_stage(trained, sys.executable, "-c", code).returncode == 0


def test_a_device_that_is_not_there_is_a_problem_before_anything_is_trained(trained):
    params = trained / "params.yaml"
    params.write_text(params.read_text().replace("device: auto", "device: mps"))
    before = (trained / MODEL).read_bytes()
    with pytest.raises(Problem, match="mps"):
        train.main()
    assert (trained / MODEL).read_bytes() == before
