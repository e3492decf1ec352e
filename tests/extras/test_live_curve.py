"""The curve that grows while a model is trained."""

import pytest

from extras.live_curve import LiveCurve, draw_accuracies, watch_training

LINE = "epoch {:2}/8  loss 0.1042  held-out loss 0.1181  held-out accuracy {:.1%}  0.1 s"


@pytest.fixture
def shown(monkeypatch) -> list[dict[str, str]]:
    """What a curve shows, one content after the other."""
    contents: list[dict[str, str]] = []
    monkeypatch.setattr(LiveCurve, "show", lambda _, content: contents.append(content))
    return contents


def test_the_curve_grows_over_the_old_one_and_ends_as_a_sentence(shown, capsys):
    curve = LiveCurve([0.5, 0.918])
    assert not curve.tell("Running stage 'train':")
    for epoch, accuracy in [(1, 0.714), (2, 0.8), (8, 0.981)]:
        assert curve.tell(LINE.format(epoch, accuracy))
    curve.end(finished=True)
    assert capsys.readouterr().out == ""
    first, last, end = shown  # the second epoch came less than a second after the first
    assert "Epoch 1 of 8: 71.4 %" in first["text/plain"]
    assert "91.8 %" in first["text/plain"]
    assert "<img" in last["text/html"]
    assert list(end) == ["text/plain"]
    assert "Epoch 8 of 8: 98.1 %" in end["text/plain"]


def test_a_training_without_epochs_shows_nothing(shown):
    LiveCurve([]).end(finished=False)
    assert shown == []


def test_there_is_room_for_the_epochs_to_come():
    (axes,) = draw_accuracies([0.7], [0.5, 0.8, 0.9], 8, "Epoch 1 of 8").axes
    lines = {str(line.get_label()): list(line.get_ydata()) for line in axes.lines}
    assert lines == {"old": [0.5, 0.8, 0.9], "new": [0.7]}
    assert axes.get_xlim()[1] > 8


def test_where_nobody_watches_every_line_is_left_to_be_printed(tiny):
    assert not watch_training(tiny, "HEAD").tell(LINE.format(1, 0.5))
