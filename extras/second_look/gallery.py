"""The new labels that the old model believes least, as a gallery."""

from extras.second_look.doubts import SecondLook, describe_look
from helpers.comparison.words import percent
from helpers.figures.galleries import Picture, task_pages, walls
from helpers.figures.markup import Shown

FEWEST, MOST = 6, 24  # labels that are shown; between these, as many as look wrong


def show_doubts(look: SecondLook, project: str = "") -> Shown:
    """Show the new labels that the old model believes least.

    `project` is the address of the project in Label Studio, or anything else if it is not known.
    """
    images = look.judged.head(max(FEWEST, min(MOST, int(look.judged["suspect"].sum()))))
    pictures = []
    for image in images.to_dict("records"):
        lines = [
            f"label: {image['label']}",
            f"old model: {image['opinion']}",
            f"believes the label: {percent(image['believed'])}",
            f"wrong: {percent(image['doubt'])}",
        ]
        pictures.append(Picture(image["source"], image["file"], lines, task_pages(image["tasks"], project)))
    return walls({describe_look(look): pictures})
