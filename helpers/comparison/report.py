"""Everything that a person has to read: images that need a look, the figures, and the decision in words."""

import io
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from helpers.comparison.galleries import read_thumbnail
from helpers.comparison.scores import Comparison
from helpers.comparison.words import count_of, left_out, signed

THUMBNAIL = 80  # pixels


def for_review(plan: pd.DataFrame) -> pd.DataFrame:
    """Pick the images of a merge plan that need a person: left out although somebody labelled them."""
    return plan[(plan["action"] == "leave out") & ~plan["status"].isin(["unlabelled", "skipped"])]


def review_table(plan: pd.DataFrame, most: int = 50) -> HTML | None:
    """The images of a merge plan that need a person, each with its picture; None if there are none."""
    review = for_review(plan)
    if review.empty:
        return None
    rows = []
    for _, image in review.head(most).iterrows():
        answers = [f"{who}: {label}" for who, label in zip(image["annotators"], image["labels"], strict=False)]
        cells = {
            "picture": _picture_tag(image["source"]),
            "file": _escape(image["file"]),
            "tasks": _escape(", ".join(map(str, image["tasks"]))),
            "labels": "<br>".join(map(_escape, answers)),
            "reason": _escape(image["reason"]),
        }
        rows.append(cells)
    with pd.option_context("display.max_colwidth", None):
        table = pd.DataFrame(rows).to_html(index=False, escape=False, border=0, justify="left")
    return HTML(f"<p>For a person: {count_of(len(review), 'image')}{left_out(review, most)}</p>{table}")


def _escape(text: str) -> str:
    return escape(text.encode("utf-8", "backslashreplace").decode())  # a name may hold halves of characters


def _picture_tag(file: str) -> str:
    picture = read_thumbnail(file, THUMBNAIL) if file else None
    if picture is None:
        return "none"
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=85)
    data = b64encode(jpeg.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" style="height:{THUMBNAIL}px; image-rendering:pixelated" alt="">'


def figures_table(comparison: Comparison) -> pd.DataFrame:
    """The figures of both models, as text, in a row for each population and metric; flips beside the accuracy.

    The columns `p, mid` and `p, exact` are McNemar's: how likely so lopsided a count of flips is by chance.
    """
    rows = []
    for row in comparison.summary.reset_index().to_dict("records"):
        population, metric = row["population"], row["metric"]
        cells = {"held-out images": population, "count": f"{row['images']:,.0f}", "figure": metric}
        if "old" in row:
            flips = comparison.tally.loc[population] if metric == "accuracy" else None
            cells |= {
                "old": f"{row['old']:.3f}",
                "new": f"{row['new']:.3f}",
                "new minus old": signed(row["difference"], 3),
                "95 % interval": f"{signed(row['low'], 3)} to {signed(row['high'], 3)}" if pd.notna(row["low"]) else "",
                "fixed": "" if flips is None else f"{flips['fixed']:,.0f}",
                "broken": "" if flips is None else f"{flips['broken']:,.0f}",
                "p, mid": "" if flips is None else f"{flips['mid_p']:.3f}",
                "p, exact": "" if flips is None else f"{flips['exact_p']:.3f}",
            }
        else:
            cells["new"] = f"{row['new']:.3f}"
        rows.append(cells)
    return pd.DataFrame(rows)


def describe_decision(decision: dict[str, Any]) -> str:
    """Write the verdict, the rules that it passed or failed, and its limits, as Markdown."""
    accepted = "The new model is **accepted**." if decision["accepted"] else "The new model is **not accepted**."
    rules = [
        f"- {'✓' if rule['passed'] else '✗'} *{rule['rule']}*: {rule['explanation']}" for rule in decision["rules"]
    ]
    notes = [f"- {note}" for note in decision["notes"]]
    return "\n".join([f"**{decision['sentence']}** {accepted}", "", *rules, *notes])


def write_report(folder: Path, decision: dict[str, Any], comparison: Comparison, difference: Figure | None) -> None:
    """Write the page that a pull request shows: ``report.md``, and ``difference.png`` if there is a figure."""
    picture = folder / "difference.png"
    parts = ["# Old beside new", describe_decision(decision)]
    picture.unlink(missing_ok=True)  # of an earlier round
    if difference:
        difference.savefig(picture, metadata={"Software": None})
        parts.append("![Change of accuracy](difference.png)")
    parts.append(figures_table(comparison).to_markdown(index=False, disable_numparse=True))
    (folder / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
