"""The curve that grows while a model is trained and somebody watches."""

import math
import re
import time
from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from helpers.comparison.words import count_of, percent
from helpers.figures.charts import PERCENT, make_panels
from helpers.figures.style import COLOURS, Chart, styled
from helpers.progress import Output

# The line that the stage `train` prints after an epoch.
EPOCH = re.compile(r"epoch +(\d+)/(\d+) .*held-out accuracy ([\d.]+)%  ([\d.]+) s$")


class LiveCurve(Output):
    """An output that shows how far a training is, over the accuracies of the `old` model; it ends as a sentence."""

    def __init__(self, old: Sequence[float]) -> None:
        self._old, self._new, self._sentence = old, list[float](), ""
        self._seconds, self._drawn = 0.0, -math.inf

    def tell(self, line: str) -> None:
        """Draw the epoch that a line of the training is about, at most once a second; print any other line."""
        if not (found := EPOCH.match(line)):
            print(line)
            return
        epoch, epochs = int(found[1]), int(found[2])
        self._new.append(float(found[3]) / 100)
        self._seconds += float(found[4])
        old = f", the old model ended at {percent(self._old[-1])}" if self._old else ""
        self._sentence = f"Epoch {epoch} of {epochs}: {percent(self._new[-1])} of the held-out images right{old}."
        if epoch == epochs or time.monotonic() - self._drawn >= 1:
            seconds = self._seconds / epoch * (epochs - epoch)
            left = count_of(round(seconds / 60), "minute") if seconds > 90 else count_of(round(seconds), "second")
            caption = f"{self._sentence} About {left} left." if seconds >= 1 else self._sentence
            chart = draw_accuracies(self._new, self._old, epochs, caption).shown()
            self.show({"text/html": chart.html, "text/plain": caption})
            self._drawn = time.monotonic()

    def end(self) -> None:
        """Leave the last sentence: the notebook draws the finished curves later."""
        if self._sentence:
            self.show({"text/plain": self._sentence})


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
