"""The models of earlier commits, and what is recorded of them."""

import shutil

import pytest

from helpers.round.past import read_history


@pytest.mark.slow
def test_a_history_that_is_lost_stops_nothing(tiny):
    shutil.rmtree(tiny.root / ".dvc/cache")
    tiny.root.with_name("demo-storage").rename(tiny.root.with_name("lost"))
    assert read_history(tiny, "HEAD") is None
