"""Reports for a person: images that need a look, the figures, and the decision in words."""

import io
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure

from helpers.comparison.galleries import read_thumbnail
from helpers.comparison.scores import Comparison
from helpers.comparison.second_look import SecondLook, describe_look, suspects
from helpers.comparison.tables import models_in, slices
from helpers.comparison.words import count_of, left_out, percent, signed

THUMBNAIL = 80  # pixels
FEWEST, MOST = 6, 24  # labels that a second look shows, by how many look wrong


def review_table(plan: pd.DataFrame, most: int = 50) -> HTML | None:
    """Show the images of a merge plan that were left out although somebody labelled them; None if there are none."""
    review = plan[(plan["action"] == "leave out") & ~plan["status"].isin(["unlabelled", "skipped"])]
    if review.empty:
        return None
    shown = review.head(most)
    answers = shown[["annotators", "labels"]].apply(_list_answers, axis=1)
    columns = {"labels": answers, "reason": shown["reason"].map(_escape)}
    return _picture_table(f"For a person: {count_of(len(review), 'image')}{left_out(review, most)}", shown, columns)


def second_look_table(look: SecondLook, project: str) -> HTML:
    """Show the new labels that the old model believes least, with links to their tasks.

    `project` is the address of the project in Label Studio, or anything else if it is not known.
    """
    shown = look.judged.head(max(FEWEST, min(MOST, len(suspects(look.judged)))))
    columns = {
        "label": shown["label"].map(_escape),
        "the old model says": shown["opinion"].map(_escape),
        "it believes the label": shown["believed"].map(percent),
        "wrong": shown["doubt"].map(percent),
    }
    return _picture_table(_escape(describe_look(look)), shown, columns, project)


def _picture_table(heading: str, images: pd.DataFrame, columns: dict[str, pd.Series], project: str = "") -> HTML:
    """Show the picture, the file and the tasks of each image, and further columns of HTML."""
    pictures, files = images["source"].map(_picture_tag), images["file"].map(_escape)
    tasks = images["tasks"].map(lambda tasks: _list_tasks(tasks, project))
    table = pd.DataFrame({"picture": pictures, "file": files, "tasks": tasks} | columns)
    with pd.option_context("display.max_colwidth", None):
        html = "" if table.empty else table.to_html(index=False, escape=False, border=0, justify="left")
    return HTML(f"<p>{heading}</p>{html}")


def _escape(text: str) -> str:
    return escape(text.encode("utf-8", "backslashreplace").decode())  # a name may hold lone surrogates


def _list_tasks(tasks: Iterable[object], project: str) -> str:
    links = []
    for task in map(str, tasks):
        page = f"{_escape(project.rstrip('/'))}/data?task={task}"
        link = project.startswith("http") and task.isdecimal()
        links.append(f'<a href="{page}">{task}</a>' if link else _escape(task))
    return ", ".join(links)


def _list_answers(image: pd.Series) -> str:
    pairs = zip(image["annotators"], image["labels"], strict=False)
    return "<br>".join(_escape(f"{who}: {label}") for who, label in pairs)


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
    summary = comparison.summary.reset_index().merge(comparison.tally.drop(columns="images"), on="population")
    table = summary[["population", "images", "metric"]].astype(str)
    table.columns = ["held-out images", "count", "figure"]
    for name in models_in(comparison.scores):
        table[name] = summary[name].map("{:.3f}".format)
    if "old" in summary:
        change, low, high = (summary[name].map(lambda x: signed(x, 3)) for name in ("difference", "low", "high"))
        table["new minus old"] = change
        table["95 % interval"] = (low + " to " + high).where(summary["low"].notna(), "")
        for column in ("fixed", "broken"):
            table[column] = summary[column].map("{:,}".format)
        for column, heading in (("mid_p", "mid-p"), ("exact_p", "exact p")):
            table[heading] = summary[column].map(lambda p: f"{p:.3f}" if p >= 0.001 else "< 0.001")
        table.loc[summary["metric"] != "accuracy", ["fixed", "broken", "mid-p", "exact p"]] = ""
    return table.set_index(["held-out images", "count", "figure"])


def describe_decision(decision: dict[str, Any]) -> str:
    """Write the verdict, the rules with their findings, and the limits of the comparison, as Markdown."""
    accepted = "accepted" if decision["accepted"] else "not accepted"
    lines = [f"**{decision['sentence']}** The new model is **{accepted}**.", ""]
    for rule in decision["rules"]:
        lines.append(f"- {'✓' if rule['passed'] else '✗'} *{rule['rule']}*: {rule['explanation']}")
    return "\n".join([*lines, *(f"- {note}" for note in decision["notes"])])


def rounds_table(rounds: pd.DataFrame) -> pd.DataFrame:
    """Write the story of the rounds, from `helpers.story.read_rounds`, as text."""
    accuracy, low, high = (rounds[name].map(percent, na_action="ignore") for name in ("accuracy", "low", "high"))
    table = rounds.assign(accuracy=accuracy, low=low + " to " + high).drop(columns="high")
    headings = {"name": "model", "training_images": "training images", "held_out_images": "held out"}
    table = table.rename(columns=headings | {"low": "95 % interval"})
    return table.astype("string").fillna("").set_index("model")


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
    table = slices(comparison.scores, comparison.lineage)
    doubtful = table[table["suspect"]]
    if doubtful.empty:
        return None
    shares = [name for name in ("old", "new", "new_low", "new_high") if name in doubtful]
    return doubtful[["images"]].join(doubtful[shares].map(percent)).join(doubtful["p"].map("{:.3f}".format))
