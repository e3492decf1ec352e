"""Stage ``evaluate``: the model on the held-out images → metrics.json, predictions.csv and classes.csv."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.pipeline.answers import record_answers
from helpers.pipeline.calibration import cross_fit, score
from helpers.pipeline.model import load_classifier
from helpers.pipeline.paths import CLASSES, INDEX, METRICS, MODEL, PREDICTIONS, RAW, read_table
from helpers.pipeline.stage import run_stage


def score_classes(actual: pd.Series, predicted: pd.Series) -> pd.DataFrame:
    """Return the number of `images`, `precision`, `recall` and `f1` of each class that has images.

    scikit-learn's `precision_recall_fscore_support` does the same, but its import takes two seconds.
    """
    images = actual.value_counts().sort_index()
    called = predicted.value_counts().reindex(images.index, fill_value=0)
    hits = actual[actual == predicted].value_counts().reindex(images.index, fill_value=0)
    return pd.DataFrame(
        {
            "images": images,
            "precision": hits / called.clip(lower=1),  # 0 for a class that is never predicted
            "recall": hits / images,
            "f1": 2 * hits / (images + called),
        }
    )


def main() -> None:
    """Predict every held-out image, and write the predictions and the metrics of all classes and of each."""
    classifier = load_classifier(Path(MODEL).read_bytes(), MODEL)
    classes = np.array(classifier.description.classes)
    index = read_table(Path(INDEX).read_bytes())
    held_out = index[index["split"] == "held-out"]

    answers = classifier.predict(Path(), Path(RAW), held_out)

    # Cross-fitted, since the model's own temperature was fitted on these images.
    labels = np.searchsorted(classes, held_out["label"])
    probabilities = cross_fit(answers.to_numpy(), labels, held_out["sha256"])
    predictions = pd.DataFrame(
        {
            "file": held_out["file"],
            "actual": held_out["label"],
            "predicted": classes[probabilities.argmax(axis=1)],
            "confidence": probabilities.max(axis=1),
        }
    )

    per_class = score_classes(predictions["actual"], predictions["predicted"])
    metrics = {
        **score(probabilities, labels),
        **{name: float(per_class[name].mean()) for name in ("precision", "recall", "f1")},
        "images": len(predictions),
    }
    predictions = predictions.join(record_answers(classifier, held_out, answers))
    predictions.to_csv(PREDICTIONS, index=False, float_format="%.6f")
    per_class.to_csv(CLASSES, index_label="class", float_format="%.6f")
    Path(METRICS).write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"accuracy {metrics['accuracy']:.1%}, macro F1 {metrics['f1']:.3f} on {len(predictions):,} held-out images")


if __name__ == "__main__":
    run_stage("evaluate", main)
