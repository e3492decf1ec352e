"""DVC's page of a comparison shows the models that were compared, whichever they are."""

import re

from helpers.round.comparing import compare_models, draw_plots
from helpers.workspace import Workspace


def drawn_revisions(workspace: Workspace, baseline: str, monkeypatch) -> set[str]:
    monkeypatch.chdir(workspace.root / "notebooks")
    page = draw_plots(workspace, compare_models(workspace, baseline)).result()
    assert page == "../dvc_plots/index.html"
    return set(re.findall(r'"rev": *"([^"]+)"', (workspace.root / "dvc_plots/index.html").read_text()))


def test_it_names_the_old_model_and_is_drawn_again_for_another_one(tiny, monkeypatch):
    commit = tiny.git("rev-parse", "--short", "HEAD").strip()
    assert drawn_revisions(tiny, "HEAD", monkeypatch) == {commit, "workspace"}
    tiny.git("tag", "model/v1")
    assert drawn_revisions(tiny, "HEAD", monkeypatch) == {"model/v1", "workspace"}
