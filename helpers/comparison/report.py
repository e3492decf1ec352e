"""Reports for a person: images that need a look, the figures, and the decision in words."""

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
from helpers.comparison.second_look import SecondLook, describe_look, suspects
from helpers.comparison.tables import models_in
from helpers.comparison.words import count_of, left_out, percent, signed

THUMBNAIL = 80  # pixels
FEWEST = 6  # labels that a second look shows, also if none of them looks wrong


def for_review(plan: pd.DataFrame) -> pd.DataFrame:
    """Pick the images of a merge plan that need a person: left out although somebody labelled them."""
    return plan[(plan["action"] == "leave out") & ~plan["status"].isin(["unlabelled", "skipped"])]


def review_table(plan: pd.DataFrame, most: int = 50) -> HTML | None:
    """Show the images of a merge plan that need a person, with their pictures; None if there are none."""
    review = for_review(plan)
    if review.empty:
        return None
    rows = []
    for _, image in review.head(most).iterrows():
        answers = [f"{who}: {label}" for who, label in zip(image["annotators"], image["labels"], strict=False)]
        rows.append(
            {
                "picture": _picture_tag(image["source"]),
                "file": _escape(image["file"]),
                "tasks": _escape(", ".join(map(str, image["tasks"]))),
                "labels": "<br>".join(map(_escape, answers)),
                "reason": _escape(image["reason"]),
            }
        )
    return _picture_table(f"For a person: {count_of(len(review), 'image')}{left_out(review, most)}", rows)


def second_look_table(look: SecondLook, project: str, most: int = 24) -> HTML:
    """Show the new labels that the old model believes least, with links to their tasks.

    `project` is the address of the project in Label Studio, or anything else if it is not known.
    """
    shown = look.judged.head(max(FEWEST, min(most, len(suspects(look.judged)))))
    rows = []
    for _, image in shown.iterrows():
        rows.append(
            {
                "picture": _picture_tag(image["source"]),
                "file": _escape(image["file"]),
                "tasks": ", ".join(_task_link(project, task) for task in image["tasks"]),
                "label": _escape(image["label"]),
                "the old model says": _escape(image["opinion"]),
                "it believes the label": percent(image["believed"]),
                "wrong": percent(image["doubt"]),
            }
        )
    return _picture_table(_escape(describe_look(look)), rows)


def _task_link(project: str, task: object) -> str:
    if not (project.startswith("http") and str(task).isdecimal()):
        return _escape(str(task))
    return f'<a href="{_escape(project.rstrip("/"))}/data?task={task}">{task}</a>'


def _picture_table(heading: str, rows: list[dict[str, str]]) -> HTML:
    with pd.option_context("display.max_colwidth", None):
        table = pd.DataFrame(rows).to_html(index=False, escape=False, border=0, justify="left") if rows else ""
    return HTML(f"<p>{heading}</p>{table}")


def _escape(text: str) -> str:
    return escape(text.encode("utf-8", "backslashreplace").decode())  # a name may hold lone surrogates


def _picture_tag(file: str) -> str:
    picture = read_thumbnail(file, THUMBNAIL) if file else None
    if picture is None:
        return "none"
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=85)
    data = b64encode(jpeg.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" style="height:{THUMBNAIL}px; image-rendering:pixelated" alt="">'


def figures_table(comparison: Comparison) -> pd.DataFrame:
    """Return the figures of both models, as text, by population and metric; flips stand beside the accuracy.

    `mid-p` and `exact p` are McNemar's: the probability of so lopsided a count of flips by chance.
    """
    if comparison.summary.empty:
        return pd.DataFrame()
    summary = comparison.summary.reset_index()
    summary = summary.merge(comparison.tally.drop(columns="images"), on="population")
    table = summary[["population", "images", "metric"]].astype(str)
    table.columns = ["held-out images", "count", "figure"]
    for name in models_in(comparison.scores):
        table[name] = summary[name].map("{:.3f}".format)
    if "old" in summary:
        change, low, high = (summary[name].map(lambda x: signed(x, 3)) for name in ("difference", "low", "high"))
        table["new minus old"] = change
        table["95 % interval"] = (low + " to " + high).where(summary["low"].notna(), "")
        columns = {"fixed": "fixed", "broken": "broken", "mid_p": "mid-p", "exact_p": "exact p"}
        for column, heading in columns.items():
            table[heading] = summary[column].map(_write_count_or_p).where(summary["metric"] == "accuracy", "")
    return table.set_index(["held-out images", "count", "figure"])


def _write_count_or_p(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def describe_decision(decision: dict[str, Any]) -> str:
    """Write the verdict, the rules with their findings, and the limits of the comparison, as Markdown."""
    accepted = "accepted" if decision["accepted"] else "not accepted"
    lines = [f"**{decision['sentence']}** The new model is **{accepted}**.", ""]
    for rule in decision["rules"]:
        lines.append(f"- {'✓' if rule['passed'] else '✗'} *{rule['rule']}*: {rule['explanation']}")
    return "\n".join([*lines, *(f"- {note}" for note in decision["notes"])])


def rounds_table(rounds: pd.DataFrame) -> pd.DataFrame:
    """Write the story of the rounds, from `helpers.story.read_rounds`, as text."""
    shares = [rounds[name].map(percent, na_action="ignore") for name in ("accuracy", "low", "high")]
    columns = {
        "model": rounds["name"],
        "date": rounds["date"],
        "training images": rounds["training_images"],
        "held out": rounds["held_out_images"],
        "accuracy": shares[0],
        "95 % interval": shares[1] + " to " + shares[2],
        "verdict": rounds["verdict"],
        "added": rounds["added"],
        "corrected": rounds["corrected"],
    }
    return pd.DataFrame(columns).astype("string").fillna("").set_index("model")


def write_report(
    folder: Path, decision: dict[str, Any], comparison: Comparison, difference: Figure | None, rounds: pd.DataFrame
) -> None:
    """Write the page for a pull request: ``report.md``, and ``difference.png`` if there is a figure."""
    picture = folder / "difference.png"
    parts = ["# Old beside new", describe_decision(decision)]
    picture.unlink(missing_ok=True)  # of an earlier round
    if difference:
        difference.savefig(picture, metadata={"Software": None})
        parts.append("![Change of accuracy](difference.png)")
    table = figures_table(comparison).reset_index()
    parts.append(table.to_markdown(index=False, disable_numparse=True))
    parts += ["## The story of the rounds", rounds_table(rounds).to_markdown(disable_numparse=True)]
    (folder / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def doubtful_slices(comparison: Comparison) -> pd.DataFrame | None:
    """Return the slices whose labels the new model contradicts more than chance explains; None without any."""
    doubtful = comparison.slices[comparison.slices["suspect"]]
    if doubtful.empty:
        return None
    shares = [name for name in ("old", "new", "new_low", "new_high") if name in doubtful]
    return doubtful[["images"]].join(doubtful[shares].map("{:.1%}".format)).join(doubtful["p"].map("{:.3f}".format))
