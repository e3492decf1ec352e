"""Stage ``evaluate``: the model on the held-out images → evaluation/metrics.json and predictions.csv."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.pipeline.calibration import cross_fit, score
from helpers.pipeline.model import load_classifier
from helpers.problems import exit_on_problem

PREPARED, MODEL, EVALUATION = Path("data/prepared"), Path("model/classifier.bentomodel"), Path("evaluation")


def main() -> None:
    """Predict every held-out image and sum up, over all classes and class by class.

    Confidences and loss are cross-fitted: the model's own temperature was fitted on these images.
    """
    classifier = load_classifier(MODEL.read_bytes(), str(MODEL))
    classes = np.array(classifier.description.classes)
    index = pd.read_csv(PREPARED / "index.csv", dtype=str, keep_default_na=False)
    held_out = index[index["split"] == "held-out"]

    labels = np.searchsorted(classes, held_out["label"])
    probabilities = classifier.probabilities(np.load(PREPARED / "images.npy", mmap_mode="r")[held_out.index])
    probabilities = cross_fit(probabilities, labels, held_out["sha256"])
    predictions = pd.DataFrame(
        {
            "file": held_out["file"],
            "actual": held_out["label"],
            "predicted": classes[probabilities.argmax(axis=1)],
            "confidence": probabilities.max(axis=1),
        }
    )
    hits = predictions["actual"].where(predictions["actual"] == predictions["predicted"])
    images, called, hits = (labels.value_counts() for labels in (predictions["actual"], predictions["predicted"], hits))
    per_class = pd.DataFrame({"images": images, "called": called, "hits": hits}).loc[sorted(images.index)].fillna(0)
    per_class["precision"] = per_class["hits"] / per_class["called"].clip(lower=1)
    per_class["recall"] = per_class["hits"] / per_class["images"]
    per_class["f1"] = 2 * per_class["hits"] / (per_class["images"] + per_class["called"])
    metrics = {
        **score(probabilities, labels),
        **{name: float(per_class[name].mean()) for name in ("precision", "recall", "f1")},
        "images": len(predictions),
        "per_class": per_class.drop(columns=["called", "hits"]).astype({"images": int}).to_dict(orient="index"),
    }
    EVALUATION.mkdir(exist_ok=True)
    predictions.to_csv(EVALUATION / "predictions.csv", index=False, float_format="%.6f")
    (EVALUATION / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"accuracy {metrics['accuracy']:.1%}, macro F1 {metrics['f1']:.3f} on {len(predictions):,} held-out images")


if __name__ == "__main__":
    exit_on_problem(main)
