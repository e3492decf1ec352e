"""One command runs a round, says in its last line how it ended, and leaves a page."""

import json
import sys

import pytest

from helpers.hashing import sha256_of
from helpers.labels import read_export
from helpers.merge.lineage import hash_labels
from helpers.round.provenance import describe_run
from helpers.workspace import DECISION

RETRAIN = [sys.executable, "-m", "helpers.round.headless"]


@pytest.mark.slow
def test_a_round_tells_its_epochs_and_ends_with_the_verdict(tiny, run):
    result = run(*RETRAIN, cwd=tiny.root)
    assert result.returncode == 0, result.stderr
    assert "epoch  1/1" in result.stdout
    assert result.stdout.splitlines()[-1] == tiny.load(DECISION)["sentence"]
    assert "IPKernelApp" not in result.stderr
    assert "<title>Retrain from new labels</title>" in (tiny.root / "report.html").read_text()


@pytest.mark.slow
def test_without_labels_it_ends_early_and_well(tiny, run):
    before, export = tiny.git("status", "--porcelain"), tiny.root / "extra-data/annotations.json"
    rows = json.loads(export.read_text())
    export.write_text(json.dumps([{name: text for name, text in row.items() if name != "choice"} for row in rows]))
    result = run(*RETRAIN, cwd=tiny.root)
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert last.startswith("There are no labels to merge")
    assert "8 unlabelled" in last
    assert tiny.git("status", "--porcelain") == before
    assert last in (tiny.root / "report.html").read_text()


def test_a_problem_is_the_end_of_what_it_says_and_stands_on_the_page(tiny, run):
    result = run(*RETRAIN, "lost.json", cwd=tiny.root)
    assert result.returncode == 1
    assert result.stderr.startswith("\nThere is no 'lost.json'.")
    assert "Traceback" not in result.stderr
    page = (tiny.root / "report.html").read_text()
    assert "There is no" in page
    assert "lost.json" in page


@pytest.mark.slow
def test_an_address_is_one_in_capitals_and_with_any_scheme(tiny, run):
    result = run(*RETRAIN, "FTP://localhost/projects/3", cwd=tiny.root)
    assert "\n'FTP://localhost/projects/3' is not the address of a project" in result.stderr


@pytest.mark.parametrize("changed", [False, True])
def test_a_report_names_its_labels_its_commit_and_the_programs(tiny, changed):
    if changed:
        (tiny.root / "params.yaml").write_text("train: {}\n")
    export = tiny.root / "extra-data/annotations.json"
    told = describe_run(tiny, export, read_export(export))
    assert f"annotations.json, sha256 {sha256_of(export)[:12]}" in told
    assert hash_labels(read_export(export))[:12] in told
    assert tiny.git("rev-parse", "--short", "HEAD").strip() in told
    assert ("not committed" in told) == changed
    assert "torch 2" in told


@pytest.mark.slow
def test_the_page_of_an_earlier_round_is_not_made_again_if_a_run_cannot_begin(tiny, run):
    (tiny.root / "notebooks/retrain.ipynb").rename(tiny.root / "out.ipynb")
    result = run(*RETRAIN, cwd=tiny.root)
    assert result.returncode != 0
    assert "notebooks/retrain.ipynb" in result.stderr
    assert not (tiny.root / "report.html").exists()
