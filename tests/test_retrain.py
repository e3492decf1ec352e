"""The whole way, as a user goes it: the notebook under papermill, in a real workspace."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from notebook_runs import PAPERMILL, run_notebook

from helpers.pipeline.paths import MODEL
from helpers.workspace import Workspace

NBVAL = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]


def retrain(workspace: Workspace, *options: str, cwd: str = ".") -> subprocess.CompletedProcess[str]:
    return run_notebook(workspace, "retrain.ipynb", *options, cwd=cwd)


def shown(workspace: Workspace, cell: str) -> str:
    """What a cell of ``out.ipynb`` shows, by the cell's id: text and printed lines."""
    found = next(c for c in nbformat.read(workspace.root / "out.ipynb", as_version=4).cells if c.id == cell)
    parts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in found.outputs]
    return "\n".join(parts)


def status(workspace: Workspace) -> tuple[str, str]:
    dvc = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=workspace.root, capture_output=True, text=True)
    return workspace.git("status", "--porcelain"), dvc.stdout


@pytest.fixture(scope="session")
def retrained(pristine, once) -> Workspace:
    """A sample in which the notebook ran once. Not to be changed."""

    def make(folder: Path) -> None:
        shutil.copytree(pristine.parent, folder, symlinks=True)
        result = retrain(Workspace(folder / "demo"))
        assert result.returncode == 0, result.stderr[-3000:]

    return Workspace(once("retrained", make) / "demo")


def test_a_round_goes_from_an_export_to_a_published_model(tiny):
    result = retrain(tiny, "-p", "publish", "True", "-r", "publish_anyway", "eight images are few")
    assert result.returncode == 0, result.stderr[-3000:]
    merged = [path for path in (tiny.root / "data/raw").glob("*/*.png") if int(path.stem) >= 24]
    assert {path.name: path.parent.name for path in merged} == {
        f"{number}.png": ("dark", "light")[number % 2] for number in range(24, 32)
    }
    message = tiny.git("log", "-1", "--format=%B", "origin/main")
    assert message.startswith("Retrain: images 8 added, 0 moved, 0 left out")
    assert "is pushed to `main` of `origin`" in shown(tiny, "end")
    assert json.loads((tiny.root / "evaluation/decision.json").read_text())["sentence"] in message


@pytest.mark.slow
def test_the_round_is_merged_trained_and_decided(retrained):
    rows = json.loads((retrained.root / "extra-data/annotations.json").read_text())
    given: dict[str, set[str]] = {}
    for row in rows:
        given.setdefault(row["image"].rpartition("-digit")[2], set()).add(row.get("choice", ""))
    agreed = {f"digit{name}": labels.pop() for name, labels in given.items() if len(labels) == 1 and labels != {""}}
    merged = {path.name: path.parent.name for path in (retrained.root / "data/raw").glob("*/*.png")}
    assert len(merged) == 400 + len(agreed)
    assert all(merged[name] == label for name, label in agreed.items())

    decision = json.loads((retrained.root / "evaluation/decision.json").read_text())
    assert decision["verdict"] == "better"
    assert decision["accepted"]
    assert decision["baseline_commit"] == retrained.git("rev-parse", "HEAD").strip()
    leaked = [row for row in decision["images"] if row["population"] == "leaked"]
    assert leaked[0]["images"] == 0


@pytest.mark.slow
def test_what_dvc_says_is_seen_in_the_notebook_with_a_line_per_epoch(retrained):
    assert shown(retrained, "retrain").count("epoch ") == 8
    assert "A new model was trained." in shown(retrained, "retrain")


@pytest.mark.slow
def test_nothing_is_committed_unasked(retrained):
    assert retrained.git("log", "--format=%s", "origin/main..HEAD") == ""
    changed = {line[3:] for line in retrained.git("status", "--porcelain").splitlines()}
    assert {"data/raw.dvc", "data/labels.csv.dvc", "dvc.lock"} <= changed
    assert not any(path.startswith(("helpers", "notebooks", "params")) for path in changed)


@pytest.mark.slow
def test_no_cell_warns(retrained):
    notebook = nbformat.read(retrained.root / "out.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


def copy_of(workspace: Workspace, folder: Path) -> Workspace:
    shutil.copytree(workspace.root.parent, folder, symlinks=True)
    return Workspace(folder / "demo")


@pytest.mark.slow
def test_running_it_again_from_another_folder_trains_nothing_and_says_so(retrained, tmp_path):
    workspace = copy_of(retrained, tmp_path / "again")
    (workspace.root / "extra-data/annotations.json").rename(workspace.root / "extra-data/mine.json")
    before = status(workspace), (workspace.root / MODEL).stat().st_mtime_ns
    result = retrain(workspace, "-p", "export", "mine.json", cwd="notebooks")
    assert result.returncode == 0, result.stderr[-3000:]
    assert "nothing to train" in shown(workspace, "retrain")
    assert (status(workspace), (workspace.root / MODEL).stat().st_mtime_ns) == before


@pytest.mark.slow
def test_declining_says_so_and_ends_the_run_without_an_error_whatever_else_is_wrong(retrained, tmp_path):
    workspace = copy_of(retrained, tmp_path / "declined")
    model = workspace.read_at("HEAD", MODEL)
    spoil_an_image(workspace)  # nothing could be planned now
    result = retrain(workspace, "-p", "decline", "True", "-r", "baseline", "nowhere")
    assert result.returncode == 0, result.stderr[-3000:]
    cells = nbformat.read(workspace.root / "out.ipynb", as_version=4).cells
    (last,) = [output for cell in cells for output in cell.get("outputs", [])]
    assert "Declined" in "".join(last.traceback)
    assert (workspace.root / MODEL).read_bytes() == model
    assert workspace.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_the_stored_notebook_is_what_a_run_gives(sample):
    command = [sys.executable, "-m", "pytest", "-q", *NBVAL, "notebooks/retrain.ipynb"]
    result = subprocess.run(command, cwd=sample.root, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]


def test_the_help_of_papermill_explains_every_parameter():
    notebook = Path(__file__).parents[1] / "notebooks/retrain.ipynb"
    command = [*PAPERMILL, "--help-notebook", str(notebook)]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    cell = next(c for c in nbformat.read(notebook, as_version=4).cells if "parameters" in c.metadata.get("tags", []))
    for line in cell.source.splitlines():
        name, explanation = line.partition(":")[0], line.partition("  # ")[2]
        assert f"{name}:" in text
        assert explanation
        assert explanation.split("  ")[0] in text


@pytest.mark.slow
def test_without_an_old_model_the_new_one_is_shown_alone(sample):
    sample.git("rm", "--quiet", "--cached", "dvc.lock")
    sample.git("commit", "--quiet", "--message", "Forget the model")
    result = retrain(sample)
    assert result.returncode == 0, result.stderr[-3000:]
    decision = json.loads((sample.root / "evaluation/decision.json").read_text())
    assert decision["verdict"] == "first"


@pytest.mark.slow
def test_publishing_puts_the_round_where_a_colleague_finds_it_and_can_be_repeated(sample, run, tmp_path):
    (sample.root / "unrelated.txt").write_text("mine")
    result = retrain(sample, "-p", "publish", "True")
    assert result.returncode == 0, result.stderr[-3000:]
    run("git", "clone", "--quiet", sample.root.with_name("demo.git"), tmp_path / "sample/colleague", cwd=tmp_path)
    colleague = Workspace(tmp_path / "sample/colleague")
    colleague.dvc("pull", quiet=True)
    assert (colleague.root / MODEL).read_bytes() == (sample.root / MODEL).read_bytes()
    assert (colleague.root / "data/labels.csv").read_text().count("\n") > 900
    assert (colleague.root / "evaluation/decision.json").is_file()
    assert not (colleague.root / "unrelated.txt").exists()

    before = (sample.root / "evaluation/decision.json").read_text(), sample.git("rev-parse", "HEAD", "model/v1")
    result = retrain(sample)
    assert "published: `model/v1`" in shown(sample, "end")
    result = retrain(sample, "-p", "publish", "True")
    assert result.returncode == 0, result.stderr[-3000:]
    after = (sample.root / "evaluation/decision.json").read_text(), sample.git("rev-parse", "HEAD", "model/v1")
    assert after == before, "a second run compares with what the first one did, not with its result"


@pytest.mark.slow
def test_a_round_is_published_where_a_gallery_fails_and_says_so_in_its_place(tiny):
    prepare = tiny.root / "helpers/pipeline/prepare.py"  # of one's own, with another table
    prepare.write_text(
        prepare.read_text().replace("pair_near_duplicates(index, pictures.notes)", "index[:1][['split']]")
    )
    tiny.git("commit", "--quiet", "--all", "--message", "A stage of one's own")
    result = retrain(tiny, "-p", "publish", "True", "-r", "publish_anyway", "eight images are few")
    assert result.returncode == 0, result.stderr[-3000:]
    assert "This cannot be shown, but the round goes on: KeyError" in shown(tiny, "near")
    assert "is pushed to `main` of `origin`" in shown(tiny, "end")


@pytest.mark.slow
def test_an_open_round_is_published_also_with_an_export_that_has_no_labels(tiny):
    assert retrain(tiny).returncode == 0
    export = tiny.root / "extra-data/annotations.json"
    kept = [{name: text for name, text in row.items() if name != "choice"} for row in json.loads(export.read_text())]
    export.write_text(json.dumps(kept))
    result = retrain(tiny, "-p", "publish", "True", "-r", "publish_anyway", "eight images are few")
    assert result.returncode == 0, result.stderr[-3000:]
    assert tiny.git("log", "-1", "--format=%s", "origin/main").startswith("Retrain: images 8 added")
    result = retrain(tiny, "-p", "publish", "True")
    assert result.returncode == 0, result.stderr[-3000:]
    assert "no labels to merge" in (tiny.root / "out.ipynb").read_text()


def spoil_an_image(workspace: Workspace) -> None:
    rows = json.loads((workspace.root / "extra-data/annotations.json").read_text())
    labelled = next(row["image"] for row in rows if "choice" in row).partition("-")[2]
    (workspace.root / "extra-data" / labelled).write_text("not a picture")


def lose_the_training_set(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "data/raw")


def cut_the_export_short(workspace: Workspace) -> None:
    (workspace.root / "extra-data/annotations.json").write_text('[{"image": "a.png", "id": 1, "cho')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (None, ["-p", "exprt", "x.json"], "no parameter `exprt`"),
        (None, ["-p", "export", "lost.json"], "There is no 'lost.json'"),
        (None, ["-r", "baseline", "nowhere"], "no git revision `nowhere`"),
        (None, ["-p", "publish", "True", "-p", "decline", "True"], "not both"),
        (cut_the_export_short, [], "annotations.json"),
        (spoil_an_image, [], "24.png"),
        (lose_the_training_set, [], "no data/raw"),
    ],
)
def test_bad_input_ends_the_run_with_one_message_and_changes_nothing(tiny, spoil, options, message):
    if spoil:
        spoil(tiny)
    files = {path: path.stat().st_mtime_ns for path in tiny.root.rglob("*") if path.is_file()}
    result = retrain(tiny, *options)
    assert result.returncode == 1
    error = next(
        output
        for cell in nbformat.read(tiny.root / "out.ipynb", as_version=4).cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    )
    assert error.ename == "Problem"
    assert message in error.evalue
    assert "Traceback" not in "".join(error.traceback)
    ours = {path: path.stat().st_mtime_ns for path in tiny.root.rglob("*") if path.is_file()}
    ours.pop(tiny.root / "out.ipynb")
    caches = {path for path in ours if "__pycache__" in path.parts or ".dvc" in path.parts}
    assert {path: time for path, time in ours.items() if path not in caches} == {
        path: time for path, time in files.items() if path not in caches
    }
