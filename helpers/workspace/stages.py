"""The stages of dvc.yaml: run those whose inputs changed, and read what they depend on."""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from helpers.pipeline.paths import BACKBONES, MODEL, RAW, SCENES
from helpers.problems import Problem
from helpers.scenes import write_scenes
from helpers.workspace.folder import LINEAGE, Workspace


def reproduce(workspace: Workspace, tell: Callable[[str], object] = print) -> str:
    """Run the stages of ``dvc.yaml`` whose inputs changed, `tell` what they say, and return the state of the model.

    It was ``trained``, ``restored`` from DVC's cache, or it is ``unchanged``. DVC removes the outputs of a stage before
    it starts; if a stage fails or is interrupted, which is a `Problem`, those of the last successful run are restored.
    """
    if not workspace.scenes.exists():  # which `prepare` depends on, and projects of earlier versions lack
        write_scenes(workspace.scenes, {})
    try:
        said = workspace.dvc("repro", tell=tell)
    except BaseException as stopped:
        with suppress(Problem):
            workspace.dvc("checkout", "train", "evaluate", quiet=True)
        if not isinstance(stopped, KeyboardInterrupt):
            raise
        there = "the old model is back" if (workspace.root / MODEL).exists() else "there is no model yet"
        raise Problem(f"The training was interrupted: {there}.", advice="Run again to start it.") from None
    if "Running stage 'train':" in said:
        return "trained"
    return "restored" if any(line.startswith("Stage 'train' is cached") for line in said) else "unchanged"


def dvc_status(workspace: Workspace, *targets: str) -> list[str]:
    """Tell, in DVC's words, how stages and data differ from its records; nothing if they do not."""
    # A stage that always runs has not changed for that reason alone, and a frozen one is only warned of.
    said = [line for line in workspace.dvc("status", *targets, quiet=True) if line != "\talways changed"]
    return [line for line, after in pairwise([*said, ""]) if line.startswith("\t") or after.startswith("\t")]


def read_stages(workspace: Workspace) -> list[dict[str, Any]]:
    """Read the stages of ``dvc.yaml`` that make the model and its evaluation; there may be others beside them."""
    needed = _name_needed_stages(workspace.root, (workspace.root / "dvc.yaml").read_bytes())
    return [stage for name, stage in workspace.load("dvc.yaml")["stages"].items() if name in needed]


@lru_cache
def _name_needed_stages(root: Path, dvc_yaml: bytes) -> set[str]:
    """Name the stages that make the model and its evaluation, once for each content of dvc.yaml: DVC takes its time."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return {stage.addressing.rpartition(":")[2] for stage in collect_stages(repo)}


def collect_stages(repo: Any) -> list[Any]:
    """Collect what makes the model, its evaluation and the lineage in DVC's graph, from a `dvc.repo.Repo`."""
    from dvc.exceptions import DvcException

    root = Path(repo.root_dir)
    lineage = [f"{LINEAGE}.dvc"] if (root / f"{LINEAGE}.dvc").exists() else []
    targets = [str(root / target) for target in ("dvc.yaml:evaluate", *lineage)]
    try:
        return [stage for target in targets for stage in repo.stage.collect(target, with_deps=True)]
    except DvcException as error:
        raise Problem("The stages of dvc.yaml cannot be read.", str(error).splitlines()) from None


def code_of_stages(workspace: Workspace) -> list[str]:
    """List ``dvc.yaml`` and the files that its stages depend on, apart from data and their outputs."""
    stages = read_stages(workspace)
    made = {out if isinstance(out, str) else next(iter(out)) for stage in stages for out in stage.get("outs", [])}
    read = {file for stage in stages for file in stage.get("deps", [])}
    return ["dvc.yaml", *sorted(read - made - {RAW, SCENES, BACKBONES})]
