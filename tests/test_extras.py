"""Each extra can be taken away as CONTRIBUTING.md says, and the rest goes on."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from notebook_runs import run_notebook
from test_docs import ROW, read_defaults

from examples.workspace import PROJECT

EXTRAS = sorted(path.stem for path in (PROJECT / "extras").glob("[!_]*"))


def list_with_those_that_need(extra: str) -> list[str]:
    """An extra, and the others whose code imports it."""
    imports = re.compile(rf"^from extras(\.{extra}\b| import .*\b{extra}\b)", re.MULTILINE)
    files = {other: [PROJECT / f"extras/{other}.py", *(PROJECT / "extras" / other).glob("*.py")] for other in EXTRAS}
    need = {other for other in EXTRAS for file in files[other] if file.is_file() and imports.search(file.read_text())}
    return [extra, *sorted(need - {extra})]


def delete(*places: Path) -> None:
    for place in places:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def cut_notebook(notebook: Path, extras: list[str]) -> None:
    """Delete the cells with the tags of extras, and the parameters that no other cell reads any more."""
    content = json.loads(notebook.read_text())
    cells = [cell for cell in content["cells"] if not set(extras) & set(cell["metadata"].get("tags", []))]
    read = {
        name.id
        for cell in cells
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])
        for name in ast.walk(ast.parse("".join(cell["source"])))
        if isinstance(name, ast.Name)
    }
    for cell in cells:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = [line for line in cell["source"] if line.partition(":")[0] in read]
    notebook.write_text(json.dumps(content | {"cells": cells}))


def take_away(root: Path, extras: list[str]) -> None:
    """Do what CONTRIBUTING.md says, step by step."""
    for extra in extras:
        delete(root / "extras" / extra, root / f"extras/{extra}.py", root / "tests/extras" / extra)
        delete(root / f"tests/extras/test_{extra}.py", root / f"tests/browser/test_lab_{extra}.py")
        delete(root / f"benchmarks/{extra}.py")
    if "label_studio" in extras:
        delete(root / "notebooks/label.ipynb")
    for notebook in root.glob("notebooks/*.ipynb"):
        cut_notebook(notebook, extras)
    settings = yaml.safe_load((root / "params.yaml").read_text())
    (root / "params.yaml").write_text(yaml.safe_dump({name: settings[name] for name in settings if name not in extras}))
    cut_documents(root)


def cut_documents(root: Path) -> None:
    """Delete the rows of parameters and settings that have gone, a guide of its own, and the lines with links to it."""
    if not (root / "extras/label_studio").exists():
        delete(root / "docs/label-studio.md")
    known = {name for file in [*root.glob("notebooks/*.ipynb"), root / "params.yaml"] for name in read_defaults(file)}
    for page in [*root.glob("*.md"), *root.glob("docs/*.md")]:
        lines = page.read_text().splitlines(keepends=True)
        if page.name == "settings.md":
            lines = [line for line in lines if not (row := ROW.match(line)) or row[1] in known]
        if not (root / "docs/label-studio.md").exists():
            lines = [line for line in lines if "label-studio.md" not in line]
        page.write_text("".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize("extra", [*EXTRAS, "all of them"])
def test_without_an_extra_contracts_hold_tests_are_collected_and_a_round_runs(tiny, run, extra):
    extras = list_with_those_that_need(extra) if extra in EXTRAS else EXTRAS
    take_away(tiny.root, extras)
    tiny.git("add", "--all")
    tiny.git("commit", "--quiet", "--message", f"Without {', '.join(extras)}")
    bin_folder = Path(sys.executable).parent
    documents = ["tests/test_docs.py", "tests/test_requirements.py", "-k", "not yaml"]  # whose settings are not tiny
    for name, *arguments in (["lint-imports"], ["ruff", "check"], ["pytest", "--collect-only"], ["pytest", *documents]):
        done: subprocess.CompletedProcess[str] = run(bin_folder / name, *arguments, cwd=tiny.root)
        assert done.returncode == 0, done.stdout[-3000:]
    done = run_notebook(tiny, "retrain.ipynb", "-p", "publish", "True", "-r", "publish_anyway", "a test")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "The round is pushed" in done.stdout + (tiny.root / "out.ipynb").read_text()
    assert tiny.git("status", "--porcelain", "--", "data", "evaluation", "dvc.lock") == ""
