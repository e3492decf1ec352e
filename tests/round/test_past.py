"""The models of earlier commits, and what is recorded of them."""

import shutil

import pytest

from helpers.pipeline.paths import HISTORY
from helpers.round.past import read_history


@pytest.mark.slow
def test_a_history_that_is_lost_stops_nothing(tiny):
    shutil.rmtree(tiny.root / ".dvc/cache")
    tiny.root.with_name("demo-storage").rename(tiny.root.with_name("lost"))
    assert read_history(tiny, "HEAD") is None


@pytest.mark.parametrize("history", ["", "epoch,loss\n1,0.5\n", "epoch,loss\n1,2\n1,2,3,4,5,6\n"])
def test_a_history_that_is_damaged_stops_nothing(tiny, history):
    assert read_history(tiny, "HEAD") is not None
    (tiny.root / HISTORY).write_text(history)
    tiny.git("add", "--force", HISTORY)
    tiny.git("commit", "--quiet", "--message", "A damaged history")
    assert read_history(tiny, "HEAD") is None
