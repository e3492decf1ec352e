"""The curve that grows while a model is trained and somebody watches."""

import math
import re
import time
from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from helpers.comparison.words import count_of, percent
from helpers.figures.charts import PERCENT, make_panels
from helpers.figures.style import COLOURS, Chart, styled
from helpers.progress import Output, is_watched
from helpers.round.past import read_history
from helpers.workspace import Workspace

# The line that the stage `train` prints after an epoch.
EPOCH = re.compile(r"epoch +(\d+)/(\d+) .*held-out accuracy ([\d.]+)%  ([\d.]+) s$")


class LiveCurve(Output):
    """An output that shows how far a training is, over the accuracies of the `old` model; it ends as a sentence.

    It is a listener for `helpers.round.training.retrain`, and leaves all lines to others where nobody watches.
    """

    def __init__(self, old: Sequence[float], is_watched: bool = True) -> None:
        self._is_watched = is_watched
        self._old, self._new, self._sentence = old, list[float](), ""
        self._seconds, self._drawn = 0.0, -math.inf

    def tell(self, line: str) -> bool:
        """Draw the epoch that a line of the training is about, at most once a second."""
        found = EPOCH.match(line) if self._is_watched else None
        if found:
            self._draw(*found.groups())
        return bool(found)

    def end(self, finished: bool) -> None:
        """Leave a sentence: the notebook draws the finished curves later."""
        if self._sentence:
            self.show({"text/plain": self._sentence})

    def _draw(self, number: str, of: str, accuracy: str, seconds: str) -> None:
        epoch, epochs = int(number), int(of)
        self._new.append(float(accuracy) / 100)
        self._seconds += float(seconds)
        old = f", the old model ended at {percent(self._old[-1])}" if self._old else ""
        self._sentence = f"Epoch {epoch} of {epochs}: {percent(self._new[-1])} of the held-out images right{old}."
        if epoch == epochs or time.monotonic() - self._drawn >= 1:
            rest = self._seconds / epoch * (epochs - epoch)
            left = count_of(round(rest / 60), "minute") if rest > 90 else count_of(round(rest), "second")
            caption = f"{self._sentence} About {left} left." if rest >= 1 else self._sentence
            chart = draw_accuracies(self._new, self._old, epochs, caption).shown()
            self.show({"text/html": chart.html, "text/plain": caption})
            self._drawn = time.monotonic()


def watch_training(workspace: Workspace, baseline: str) -> LiveCurve:
    """Return a curve that grows over that of the model at `baseline`."""
    history = read_history(workspace, baseline) if is_watched() else None
    return LiveCurve([] if history is None else history["held_out_accuracy"].tolist(), is_watched())


@styled
def draw_accuracies(new: Sequence[float], old: Sequence[float], epochs: int, finding: str) -> Chart:
    """Show the held-out accuracy of both models after each epoch, on an axis that has room for all `epochs`."""
    figure, (axes,) = make_panels(1, 2.2, finding)
    for name, curve in (("old", old), ("new", new)):
        if curve:
            axes.plot(range(1, len(curve) + 1), curve, ".-", color=COLOURS[name], label=name)
    axes.set(xlabel="epoch", xlim=(0.5, max(epochs, len(old)) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(PERCENT)
    axes.grid(axis="y")
    axes.legend()
    return figure
