"""Check a published model: is everything as its commit says, and does its training give the same model and verdict?

    python -m extras.verify model/v7

works in a copy of the project in the working folder, at that revision, and leaves nothing behind but objects in DVC's
cache. It is no judgement by the held-out images: nothing remembers it.
"""

import filecmp
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from helpers.comparison.decision import decide
from helpers.comparison.record import SCHEMA, Decision
from helpers.comparison.statistics import tango
from helpers.comparison.words import count_of
from helpers.pipeline.model import load_classifier
from helpers.pipeline.paths import INDEX, MODEL, read_table
from helpers.problems import Problem, exit_on_problem
from helpers.round.comparing import compare_models
from helpers.round.record import read_decision
from helpers.round.state import POINTERS, present
from helpers.workspace import DECISION, Workspace, open_workspace
from helpers.workspace.dvc import run_dvc
from helpers.workspace.stages import dvc_status

REQUIREMENTS = "requirements.txt"
# Other instruction sets round in other ways, which a training amplifies: on handwritten digits, a probability moved by
# up to 0.47, and 5 of 318 predictions. As with another seed, single answers change, and hardly the accuracy.
Z = 3.29  # McNemar's statistic, which chance exceeds in one of a thousand pairs
EXACT = ("verdict", "accepted", "images", "new_classes", "lost_classes", "policy")


def verify(workspace: Workspace, revision: str) -> str:
    """Train the model of a revision again, judge it again, and tell how both compare with the commit.

    A `Problem` tells that data, labels, code, model or decision are not as the commit says, or that the new training
    gives a model that is further from the committed one than another processor explains.
    """
    commit = workspace.commit_of(revision)
    record = read_decision(workspace, commit)
    if not record.model:
        raise Problem(f"{revision} has no readable {DECISION} with a model.")
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(workspace, commit, Path(folder))
        require_as_recorded(copy, record)
        committed = (copy.root / MODEL).read_bytes()
        run_dvc(copy.root, "repro", "--force", python=find_python(workspace, copy, Path(folder)))
        trained = (copy.root / MODEL).read_bytes()
        same = trained == committed
        said = [f"{revision}: data, labels, code and model are as the commit says."]
        said.append("The training gives the same model, byte for byte." if same else compare_bytes(copy, committed))
        if workspace.load(DECISION, commit).get("schema", 1) < SCHEMA:
            return "\n".join([*said, "Earlier rules made the decision, so it is not made again."])
        (copy.root / MODEL).write_bytes(committed)
        require_decision(record, judge(copy, record))
        said.append(f"The committed model is judged as the commit says: {record.verdict}.")
        if not same:
            (copy.root / MODEL).write_bytes(trained)
            said.append(f"The model that was trained here is judged: {judge(copy, record).verdict}.")
    return "\n".join(said)


def copy_project(workspace: Workspace, commit: str, folder: Path) -> Workspace:
    """Clone the project at a commit, and check out its data from the DVC cache of the workspace or from the remote."""
    from dvc.repo import Repo  # takes half a second

    copy = Workspace(folder / "project")
    workspace.git("clone", "--quiet", "--shared", "--no-checkout", str(workspace.root), str(copy.root))
    copy.git("checkout", "--quiet", "--detach", commit)
    local = workspace.root / ".dvc/config.local"
    if local.exists():  # credentials
        shutil.copy(local, copy.root / ".dvc/config.local")
    records = folder / "records-of-dvc"
    with Repo(str(workspace.root)) as here, Repo(str(copy.root)) as there, there.config.edit("local") as config:
        config["cache"]["dir"] = here.cache.local_cache_dir
        config["core"]["site_cache_dir"] = str(records)
        for name, remote in here.config["remote"].items():  # a path there is relative to its own project
            config["remote"].setdefault(name, {})["url"] = str(remote["url"])
    copy.dvc("pull", quiet=True)
    shutil.rmtree(records)  # what DVC believes of its cache: the files themselves have to tell
    return copy


def require_as_recorded(copy: Workspace, record: Decision) -> None:
    """Raise a `Problem` if data, labels, code, settings or model are not those that DVC's records and git have."""
    changes = dvc_status(copy, "--with-deps", "evaluate", *present(copy, *POINTERS))
    if not changes:
        version = load_classifier((copy.root / MODEL).read_bytes(), MODEL).version
        if version != record.model:
            changes.append(f"{MODEL} is model {version}, and the decision is about {record.model}")
    if changes:
        raise Problem("The content is not what the commit says.", changes)


def find_python(workspace: Workspace, copy: Workspace, folder: Path) -> str:
    """Return the Python of this environment, or of a new one where the revision has other requirements."""
    if filecmp.cmp(workspace.root / REQUIREMENTS, copy.root / REQUIREMENTS, shallow=False):
        return sys.executable
    print(f"The revision has other requirements: installing its {REQUIREMENTS}, which takes some minutes.", flush=True)
    python = str(folder / "environment/bin/python")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "environment")], check=True)
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", copy.root / REQUIREMENTS])
    if installed.returncode:
        raise Problem(f"The {REQUIREMENTS} of the revision cannot be installed.")
    return python


def compare_bytes(copy: Workspace, committed: bytes) -> str:
    """Say how far the model that was trained is from the committed one, by their answers for the held-out images.

    A `Problem` tells that it is further than another processor explains.
    """
    index = read_table((copy.root / INDEX).read_bytes())
    held_out = index[index["split"] == "held-out"]
    models = [load_classifier(content, MODEL) for content in (committed, (copy.root / MODEL).read_bytes())]
    before, now = (model.predict(copy.root, copy.raw, held_out).set_axis(held_out["label"]) for model in models)
    was_right, is_right = (answers.idxmax(axis=1).to_numpy() == held_out["label"] for answers in (before, now))
    moved = int((before.idxmax(axis=1) != now.idxmax(axis=1)).sum())
    difference = (
        f"another model: a probability differs by up to {(now - before).abs().to_numpy().max():.2g}, and "
        f"{moved:,} of {count_of(len(held_out), 'prediction')}"
    )
    flips = int((is_right & ~was_right).sum()), int((was_right & ~is_right).sum())
    if abs(tango(*flips, len(held_out), 0.0)) > Z:
        right = f"{was_right.sum():,} images right, {is_right.sum():,} now"
        raise Problem(f"The training gives {difference}: more than another processor explains ({right}).")
    return f"The training gives {difference}. Another kind of processor explains that."


def judge(copy: Workspace, record: Decision) -> Decision:
    """Judge the model in the copy like the one of a record; the rules that only extras can apply are the record's."""
    decision = decide(compare_models(copy, record.baseline_commit))
    own = {rule.rule for rule in decision.rules}
    rules = [*decision.rules, *(rule for rule in record.rules if rule.rule not in own)]
    return replace(decision, rules=rules, accepted=all(rule.passed is not False for rule in rules))


def require_decision(record: Decision, decision: Decision) -> None:
    """Raise a `Problem` if a record differs from the decision that its own model and images give."""
    wrong = [name for name in EXACT if getattr(record, name) != getattr(decision, name)]
    passed, recorded = ({rule.rule: rule.passed for rule in one.rules} for one in (decision, record))
    wrong += [f"rule {name}" for name in passed if passed[name] != recorded.get(name)]
    if not record.sentence.startswith(decision.sentence):
        wrong.append("sentence")
    figures, known = (pd.DataFrame(one.figures).round(5) for one in (decision, record))  # processors round differently
    if not figures.equals(known):
        wrong.append("figures")
    if wrong:
        raise Problem(f"{DECISION} is not what its model and its images give.", wrong)


def main() -> None:
    """Verify the revision that is named on the command line."""
    if len(sys.argv) != 2:
        raise Problem("Name one revision: python -m extras.verify model/v7")
    print(verify(open_workspace(Path.cwd()), sys.argv[1]))


if __name__ == "__main__":
    exit_on_problem(main)
