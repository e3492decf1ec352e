"""Where people label hard images first, held-out images that chance chose tell the truth; all of them do not."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from public_sets import digits, garments
from sklearn.linear_model import LogisticRegression

from extras.label_studio.queue import order_queue
from helpers.pipeline.params import PrepareParams
from helpers.pipeline.prepare import is_held_out

PARAMS = PrepareParams()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("load", "start", "labelled"), [(digits, 60, 90), (garments, 400, 150)])
def test_chance_tells_the_truth_after_four_rounds_of_the_hard_ones_first(load, start, labelled):
    pictures, labels = load()
    said = np.mean([simulate(pictures, labels, start, labelled, seed) for seed in range(6)], axis=0)
    everything, by_chance, truth = 100 * said
    assert abs(by_chance - truth) <= 2.5
    assert truth - everything >= 4


def simulate(
    pictures: np.ndarray, labels: np.ndarray, start: int, labelled: int, seed: int
) -> tuple[float, float, float]:
    """Return the accuracy of the last model on all held-out images, on those that chance chose, and the true one."""
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(labels))
    pool, unseen = order[: 2 * len(labels) // 3], order[2 * len(labels) // 3 :]
    contents = pd.Index([hashlib.sha256(f"{seed}:{number}".encode()).hexdigest() for number in pool])
    held_out = np.array([is_held_out(content, PARAMS.seed, PARAMS.validation_fraction) for content in contents])
    known, by_model = np.arange(len(pool)) < start, np.zeros(len(pool), bool)
    for _ in range(4):
        train = pool[known & ~held_out]
        model = LogisticRegression(max_iter=100).fit(pictures[train], labels[train])
        confidence = pd.Series(model.predict_proba(pictures[pool]).max(axis=1), contents)[~known]
        queue = order_queue(confidence, [], random_share=0.2).head(labelled)
        known |= contents.isin(queue.index)
        by_model |= contents.isin(queue.index[queue["reason"] == "least certain"])
    train = pool[known & ~held_out]
    model = LogisticRegression(max_iter=100).fit(pictures[train], labels[train])
    shown = known & held_out
    sets = pool[shown], pool[shown & ~by_model], unseen
    everything, of_chance, truth = (
        float((model.predict(pictures[images]) == labels[images]).mean()) for images in sets
    )
    return everything, of_chance, truth
