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

from helpers.decode import Input
from helpers.pipeline.backbone import read_backbone
from helpers.pipeline.calibration import fit_temperature, score
from helpers.pipeline.dataset import Dataset, read_dataset
from helpers.pipeline.model import Classifier, Description, save_classifier
from helpers.pipeline.network import export_network
from helpers.pipeline.params import PrepareParams, TrainParams, read_params
from helpers.pipeline.paths import HISTORY, INDEX, MODEL, TRAINING_SECONDS, read_table
from helpers.pipeline.stage import run_stage
from helpers.problems import Problem

# Of a backbone's head: the fewest steps of an epoch, and its share of the learning rate. No other values did better on
# five sets of 40 to 2,500 pictures.
HEAD_STEPS, HEAD_PACE = 64, 0.2


def train(dataset: Dataset, index: pd.DataFrame, description: Description) -> tuple[Classifier, pd.DataFrame]:
    """Train a network with AdamW and a one-cycle schedule, and measure it on the held-out images after each epoch.

    These measurements change no prediction: the schedule is fixed, and the last epoch's weights are the result. Only
    its confidence is fitted on the held-out images.

    `index` has the `label` and the `split` of each image of the dataset. The history that comes with the classifier has
    a row per `epoch`: `loss` and `accuracy` on the training images during the epoch, `held_out_loss` and
    `held_out_accuracy` after it.
    """
    params = dataset.params

    # The same data and settings give the same model.
    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = choose_device(params.device)

    # Processes that torchrun started share each batch.
    rank, workers = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)

    # Images and their class numbers, the network and its schedule.
    labels = index["label"].map(description.classes.index).to_numpy(dtype=np.int64)
    training = np.flatnonzero(index["split"] == "train")
    held_out = np.flatnonzero(index["split"] == "held-out")
    passes, rate = 1, params.learning_rate
    if dataset.backbone:  # a head learns from few images as long as from many: in an epoch it sees them several times
        passes = math.ceil(HEAD_STEPS * params.batch_size / len(training))
        rate *= HEAD_PACE
    steps = max(1, round(passes * len(training) / params.batch_size))

    network = dataset.build_network(len(description.classes)).to(device)
    shared = nn.parallel.DistributedDataParallel(network) if workers > 1 else network
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=params.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=params.epochs * steps)

    # The probabilities of each image when it was last seen, in one array: many small ones would fragment the memory.
    answers = np.zeros((len(index), len(description.classes)), np.float32)
    history = []
    for epoch in range(1, params.epochs + 1):
        started = time.perf_counter()
        network.train()
        order = torch.cat([torch.randperm(len(training)) for _ in range(passes)]).to(device)
        if workers > 1:  # by now, each may have drawn another number of random views
            distributed.broadcast(order, 0)
        batches = np.array_split(training[order.cpu().numpy()], steps)
        for batch in batches:
            mine = batch[rank::workers]
            target = torch.from_numpy(labels[mine]).to(device)
            logits = shared(dataset.read_augmented(mine, device))
            loss = nn.functional.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            answers[mine] = logits.detach().softmax(dim=1).cpu().numpy()

        network.eval()
        with torch.inference_mode():
            for part in np.array_split(held_out, max(1, len(held_out) // params.batch_size)):
                answers[part] = network(dataset.read(part, device)).softmax(dim=1).cpu().numpy()
        seen = np.concatenate([batch[rank::workers] for batch in batches])
        learnt, watched = score(answers[seen], labels[seen]), score(answers[held_out], labels[held_out])
        history.append({"epoch": epoch, **learnt, **{f"held_out_{name}": value for name, value in watched.items()}})
        if rank == 0:
            print(
                f"epoch {epoch:2}/{params.epochs}  loss {learnt['loss']:.4f}  held-out loss {watched['loss']:.4f}  "
                f"held-out accuracy {watched['accuracy']:.1%}  {time.perf_counter() - started:.1f} s"
            )

    shape = dataset.read(training[:1], device).shape[1:]
    graph = export_network(network.cpu(), *shape)
    temperature = fit_temperature(answers[held_out], labels[held_out])
    classifier = Classifier(graph, replace(description, temperature=temperature), dataset.backbone)
    return classifier, pd.DataFrame(history)


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
