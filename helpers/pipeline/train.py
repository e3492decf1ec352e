"""Stage ``train``: data/prepared → model/classifier.bentomodel and evaluation/history.csv.

Runs alone (``python -m``) or as several processes that share each batch (``torchrun -m``).
"""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from helpers.pipeline.calibration import fit_temperature, score
from helpers.pipeline.model import Classifier, Description, save_classifier
from helpers.pipeline.network import build_network, to_tensor
from helpers.pipeline.params import PrepareParams, TrainParams, read_params
from helpers.pipeline.paths import HISTORY, INDEX, MODEL, PIXELS, read_table
from helpers.problems import exit_on_problem


def augment(images: Tensor, params: TrainParams) -> Tensor:
    """Shift each image [N, C, H, W] by a few pixels, repeating its border, and mirror half of them if asked."""
    count, channels, height, width = images.shape
    if reach := round(params.shift * width):
        padded = nn.functional.pad(images, [reach] * 4, mode="replicate")
        down, right = torch.randint(0, 2 * reach + 1, (2, count, 1)).to(images.device)
        rows = down + torch.arange(height, device=images.device)
        columns = right + torch.arange(width, device=images.device)
        padded = padded.gather(2, rows[:, None, :, None].expand(-1, channels, -1, padded.shape[3]))
        images = padded.gather(3, columns[:, None, None, :].expand(-1, channels, height, -1))
    if params.flip:
        mirrored = (torch.rand(count) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images


def train(
    images: np.ndarray, index: pd.DataFrame, description: Description, params: TrainParams
) -> tuple[Classifier, pd.DataFrame]:
    """Train a network with AdamW and a one-cycle schedule, and measure it on the held-out images after each epoch.

    These measurements change no prediction: the schedule is fixed, and the last epoch's weights are the result. Only
    its confidence is fitted on the held-out images (`calibrate`).

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
    index : DataFrame
        N rows, columns `label` and `split` ('train' or 'held-out').

    Returns
    -------
    history : DataFrame
        A row per epoch: `epoch`, `loss` and `accuracy` on the training images during the epoch, `held_out_loss` and
        `held_out_accuracy` after it.
    """
    # The same data and settings give the same model.
    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)

    # Processes that torchrun started share each batch, each on a GPU of its own if there are any.
    rank, workers = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else "cpu"

    # Images and their class numbers, the network and its schedule.
    labels = index["label"].map(description.classes.index).to_numpy(dtype=np.int64)
    training = np.flatnonzero(index["split"] == "train")
    held_out = np.flatnonzero(index["split"] == "held-out")
    steps = max(1, round(len(training) / params.batch_size))

    network = build_network(images.shape[3], len(description.classes), description.width).to(device)
    shared = DistributedDataParallel(network) if workers > 1 else network
    optimizer = torch.optim.AdamW(network.parameters(), params.learning_rate, weight_decay=params.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, params.learning_rate, total_steps=params.epochs * steps)
    classifier = Classifier(network, description)

    history = []
    for epoch in range(1, params.epochs + 1):
        started = time.perf_counter()
        network.train()
        answers, targets = [], []
        for batch in np.array_split(training[torch.randperm(len(training)).numpy()], steps):
            mine = batch[rank::workers]
            target = torch.from_numpy(labels[mine]).to(device)
            logits = shared(augment(to_tensor(images[mine]).to(device), params))
            loss = nn.functional.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            answers.append(logits.detach().softmax(dim=1).cpu().numpy())
            targets.append(labels[mine])

        learnt = score(np.concatenate(answers), np.concatenate(targets))
        watched = score(classifier.probabilities(images[held_out]), labels[held_out])
        history.append({"epoch": epoch, **learnt, **{f"held_out_{name}": value for name, value in watched.items()}})
        if rank == 0:
            print(
                f"epoch {epoch:2}/{params.epochs}  loss {learnt['loss']:.4f}  held-out loss {watched['loss']:.4f}  "
                f"held-out accuracy {watched['accuracy']:.1%}  {time.perf_counter() - started:.1f} s"
            )

    network.cpu()
    calibrate(classifier, images[held_out], labels[held_out])
    return classifier, pd.DataFrame(history)


def calibrate(classifier: Classifier, images: np.ndarray, labels: np.ndarray) -> None:
    """Divide the last layer, in place, by the temperature fitted on held-out images; no prediction changes."""
    temperature = fit_temperature(classifier.probabilities(images), labels)
    with torch.no_grad():
        for parameter in classifier.network[-1].parameters():
            parameter.div_(temperature)


def main() -> None:
    """Train on the output of ``prepare``; the first process writes the model and the history."""
    if distributed.is_torchelastic_launched():
        distributed.init_process_group()
    prepare, params = read_params(PrepareParams), read_params(TrainParams)
    index = read_table(Path(INDEX).read_bytes())
    training = index[index["split"] == "train"]
    description = Description(
        classes=tuple(sorted(index["label"].unique())),
        image_size=prepare.image_size,
        colour=prepare.colour,
        width=params.width,
        trained_on={
            "images": len(training),
            "sha256": hashlib.sha256(training.to_csv(index=False).encode()).hexdigest(),
        },
    )
    classifier, history = train(np.load(PIXELS, mmap_mode="r"), index, description, params)
    if not distributed.is_initialized() or distributed.get_rank() == 0:
        Path(HISTORY).parent.mkdir(parents=True, exist_ok=True)
        history.to_csv(HISTORY, index=False, float_format="%.6f")
        save_classifier(classifier, Path(MODEL))
        print(f"{MODEL}: version {classifier.version}")
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    exit_on_problem(main)
