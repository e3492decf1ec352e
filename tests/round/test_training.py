"""The curve that grows while a model is trained, and where it is shown."""

import xml.etree.ElementTree as ElementTree

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.progress import is_watched
from helpers.round.training import LiveCurve, draw_curves

LINE = "epoch {:2}/8  loss 0.1042  held-out loss 0.1181  held-out accuracy {:.1%}  0.1 s"


@pytest.fixture
def shown(monkeypatch) -> list[dict[str, str]]:
    """What a curve shows, one content after the other."""
    contents: list[dict[str, str]] = []
    monkeypatch.setattr(LiveCurve, "show", lambda _, content: contents.append(content))
    return contents


def test_the_curve_grows_over_the_old_one_and_ends_as_a_sentence(shown, capsys):
    curve = LiveCurve([0.5, 0.918])
    curve.tell("Running stage 'train':")
    for epoch, accuracy in [(1, 0.714), (2, 0.8), (8, 0.981)]:
        curve.tell(LINE.format(epoch, accuracy))
    curve.end()
    assert capsys.readouterr().out == "Running stage 'train':\n"
    first, last, end = shown  # the second epoch came less than a second after the first
    assert "Epoch 1 of 8: 71.4 %" in first["text/plain"]
    assert "91.8 %" in first["text/plain"]
    assert last["text/html"].count("polyline") == 2
    assert list(end) == ["text/plain"]
    assert "Epoch 8 of 8: 98.1 %" in end["text/plain"]


def test_a_training_without_epochs_shows_nothing(shown):
    LiveCurve([]).end()
    assert shown == []


@pytest.mark.parametrize(("new", "old"), [([1.0], []), ([0.0, 1.0], [0.5]), ([0.5] * 100, [0.9] * 3)])
def test_every_curve_lies_in_the_picture(new, old):
    drawing = draw_curves(new, old, epochs=len(new), caption="50 % < 90 %")
    svg = ElementTree.fromstring(drawing[drawing.index("<svg") :])
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for line in svg.iter("polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_nobody_watches_a_script_or_an_executed_notebook():
    assert not is_watched()
    cell = nbformat.v4.new_code_cell("from helpers.progress import is_watched\nis_watched()")
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="python3").execute()
    (output,) = cell.outputs
    assert output["data"]["text/plain"] == "False"
