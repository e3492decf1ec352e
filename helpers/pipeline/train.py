"""Stage ``train``: data/prepared → model/classifier.bentomodel and evaluation/history.csv.

Runs alone (``python -m``) or as several processes that share each batch (``torchrun -m``).
"""

import hashlib
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import distributed, nn

from helpers.pipeline.backbone import read_backbone
from helpers.pipeline.calibration import fit_temperature, score
from helpers.pipeline.dataset import Dataset, read_dataset
from helpers.pipeline.input import Input
from helpers.pipeline.model import Classifier, Description, save_classifier
from helpers.pipeline.network import export_network
from helpers.pipeline.optimizer import OneCycleAdamW
from helpers.pipeline.params import PrepareParams, TrainParams, read_params
from helpers.pipeline.paths import HISTORY, INDEX, MODEL, TRAINING_SECONDS, read_table
from helpers.pipeline.stage import run_stage
from helpers.problems import Problem

# Of a backbone's head: the fewest steps of an epoch, and its share of the learning rate. No other values did better on
# five sets of 40 to 2,500 pictures.
HEAD_STEPS, HEAD_PACE = 64, 0.2
SMALL = 64  # pixels: up to this width of a picture, more threads take longer


def train(dataset: Dataset, index: pd.DataFrame, description: Description) -> tuple[Classifier, pd.DataFrame]:
    """Train a network with AdamW and a one-cycle schedule, and measure it on the held-out images after each epoch.

    These measurements change no prediction: the schedule is fixed, and the last epoch's weights are the result. Only
    its confidence is fitted on the held-out images.

    `index` has the `label` and the `split` of each image of the dataset. The history that comes with the classifier has
    a row per `epoch`: `loss` and `accuracy` on the training images during the epoch, `held_out_loss` and
    `held_out_accuracy` after it.
    """
    params = dataset.params
    # The same data and settings give the same model on one kind of processor.
    torch.set_num_threads(count_threads(dataset))
    torch.manual_seed(params.seed)
    if choose_device(params.device).type != "cpu":  # there, all algorithms are; the call takes a second
        torch.use_deterministic_algorithms(True, warn_only=True)
    labels = index["label"].map(description.classes.index).to_numpy(dtype=np.int64)
    training, held_out = (np.flatnonzero(index["split"] == split) for split in ("train", "held-out"))
    learner = Learner(dataset, training, len(description.classes))

    # The probabilities of each image when it was last seen, in one array: many small ones would fragment the memory.
    answers = np.zeros((len(index), len(description.classes)), np.float32)
    history = []
    for epoch in range(1, params.epochs + 1):
        started = time.perf_counter()
        batches = learner.draw_batches()
        for batch in batches:
            answers[batch] = learner.learn(batch, labels[batch])
        for part in np.array_split(held_out, max(1, len(held_out) // params.batch_size)):
            answers[part] = learner.answer(part)
        learnt, watched = (score(answers[rows], labels[rows]) for rows in (np.concatenate(batches), held_out))
        history.append({"epoch": epoch, **learnt, **{f"held_out_{name}": value for name, value in watched.items()}})
        if learner.rank == 0:
            print(
                f"epoch {epoch:2}/{params.epochs}  loss {learnt['loss']:.4f}  held-out loss {watched['loss']:.4f}  "
                f"held-out accuracy {watched['accuracy']:.1%}  {time.perf_counter() - started:.1f} s"
            )
    temperature = fit_temperature(answers[held_out], labels[held_out])
    classifier = Classifier(learner.export(), replace(description, temperature=temperature), dataset.backbone)
    return classifier, pd.DataFrame(history)


class Learner:
    """A network that learns from the `training` rows of a dataset. Processes of torchrun share each batch."""

    def __init__(self, dataset: Dataset, training: np.ndarray, classes: int) -> None:
        params = dataset.params
        self.rank, self._workers = 0, 1
        if distributed.is_initialized():
            self.rank, self._workers = distributed.get_rank(), distributed.get_world_size()
        self._dataset, self._training = dataset, training
        self._device = choose_device(params.device)

        self._passes, rate = 1, params.learning_rate
        if dataset.backbone:  # a head learns from few images as long as from many: an epoch shows them several times
            self._passes = math.ceil(HEAD_STEPS * params.batch_size / len(training))
            rate *= HEAD_PACE
        self._steps = max(1, round(self._passes * len(training) / params.batch_size))

        self._network = dataset.build_network(classes).to(self._device)
        self._shared = nn.parallel.DistributedDataParallel(self._network) if self._workers > 1 else self._network
        steps = params.epochs * self._steps
        self._optimizer = OneCycleAdamW(self._network.parameters(), rate, params.weight_decay, steps)

    def draw_batches(self) -> list[np.ndarray]:
        """Draw the rows for each step of an epoch: the part of each batch that is this process's."""
        order = torch.cat([torch.randperm(len(self._training)) for _ in range(self._passes)]).to(self._device)
        if self._workers > 1:  # by now, each may have drawn another number of random views
            distributed.broadcast(order, 0)
        batches = np.array_split(self._training[order.cpu().numpy()], self._steps)
        return [batch[self.rank :: self._workers] for batch in batches]

    def learn(self, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Take a step towards the labels of some rows, and return the probabilities [rows, classes] before it."""
        self._network.train()
        logits = self._shared(self._dataset.read_augmented(rows, self._device))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels).to(self._device))
        loss.backward()
        self._optimizer.step()
        return logits.detach().softmax(dim=1).cpu().numpy()

    def answer(self, rows: np.ndarray) -> np.ndarray:
        """Return the probabilities [rows, classes] of some rows as they are."""
        self._network.eval()
        with torch.inference_mode():
            return self._network(self._dataset.read(rows, self._device)).softmax(dim=1).cpu().numpy()

    def export(self) -> bytes:
        """Write the network as an ONNX graph, and leave it on the CPU."""
        shape = self._dataset.read(self._training[:1], self._device).shape[1:]
        return export_network(self._network.cpu(), *shape)


def count_threads(dataset: Dataset) -> int:
    """Return the number of threads of this process: as many as are set, or as pay off for the pictures.

    Large pictures use all processors, which the processes of torchrun share. Small ones, and the features of a
    backbone, are quicker with one thread.
    """
    if isinstance(dataset.params.threads, int):
        return dataset.params.threads
    if dataset.backbone or dataset.input.image_size <= SMALL:
        return 1
    return max(1, count_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def count_processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(device: str) -> torch.device:
    """Return the device that a setting means; each process of torchrun on this host has a GPU of its own."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = next(name for name, available in there.items() if available)
    if not there[device]:
        raise Problem(f"train.device is {device}, but PyTorch finds none here.", advice="Set it to auto or cpu.")
    process, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if device == "cuda" and process >= gpus:
        raise Problem(
            f"torchrun starts more processes here than there are GPUs ({gpus}).",
            advice="Set its --nproc-per-node in train.launcher to that number, or train.device to cpu.",
        )
    return torch.device(device, process if device == "cuda" else 0)


def main() -> None:
    """Train on the output of ``prepare``; the first process writes the model and the history."""
    prepare, params = read_params(PrepareParams), read_params(TrainParams)
    if distributed.is_torchelastic_launched():
        distributed.init_process_group("nccl" if choose_device(params.device).type == "cuda" else "gloo")
    backbone = read_backbone(Path(), params.backbone)
    index = read_table(Path(INDEX).read_bytes())
    training = index[index["split"] == "train"]
    description = Description(
        classes=tuple(sorted(index["label"].unique())),
        input=backbone.input if backbone else Input(prepare.image_size, prepare.colour),
        trained_on={
            "images": len(training),
            "sha256": hashlib.sha256(training.to_csv(index=False).encode()).hexdigest(),
        },
    )
    dataset = read_dataset(Path(), index, description.input, backbone, params)
    started = time.perf_counter()
    classifier, history = train(dataset, index, description)
    if not distributed.is_initialized() or distributed.get_rank() == 0:
        Path(HISTORY).parent.mkdir(parents=True, exist_ok=True)
        history.to_csv(HISTORY, index=False, float_format="%.6f")
        save_classifier(classifier, Path(MODEL))
        Path(TRAINING_SECONDS).write_text(f"{time.perf_counter() - started:.1f}\n")
        print(f"{MODEL}: version {classifier.version}")
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    run_stage("train", main)
