"""``dvc plots diff`` draws the plots that dvc.yaml declares, of a commit and of the workspace."""

import re

import pytest


@pytest.mark.slow
def test_dvc_draws_the_curves_and_the_confusion_matrix_of_both(tiny):
    tiny.dvc("plots", "diff", "HEAD", quiet=True)
    page = (tiny.root / "dvc_plots/index.html").read_text()
    assert set(re.findall(r'"rev": *"([^"]+)"', page)) == {"HEAD", "workspace"}
    for plot in tiny.load("dvc.yaml")["plots"]:
        assert all(name in page for name in plot)
