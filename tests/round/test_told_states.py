"""The state of a round is told from git alone."""

from helpers.round.state import tell_state
from helpers.workspace import DECISION


def test_a_round_is_open_then_committed_then_published(tiny):
    tiny.save(DECISION, {"accepted": False})
    assert "open" in tell_state(tiny)
    assert "publish_anyway" in tell_state(tiny)
    tiny.save(DECISION, {"accepted": True})
    assert "open" in tell_state(tiny)
    assert "publish_anyway" not in tell_state(tiny)

    tiny.git("add", DECISION)
    tiny.git("commit", "--quiet", "--message", "Retrain")
    assert "not pushed" in tell_state(tiny)
    tiny.git("push", "--quiet")
    assert f"published: `{tiny.git('rev-parse', '--short', 'HEAD').strip()}`" in tell_state(tiny)

    tiny.git("tag", "model/v1")
    (tiny.root / "README.md").write_text("Something else.")
    tiny.git("commit", "--quiet", "--all", "--message", "Something else")
    assert "published: `model/v1`" in tell_state(tiny)
