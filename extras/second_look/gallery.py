"""The new labels that the old model doubts most, as a gallery in pages of ten."""

from pathlib import Path

from extras.second_look.doubts import SecondLook
from helpers.comparison.words import count_of, percent
from helpers.figures.galleries import Picture, task_pages, walls
from helpers.figures.markup import Shown
from helpers.progress import Output, is_watched

PAGE = 10  # labels


def show_doubts(look: SecondLook, project: str = "", most: int = 2 * PAGE, first: int = 0) -> Shown:
    """Show the labels that the old model doubts most, least believed first, from the `first` one to the `most`-th.

    `project` is the address of the project in Label Studio, or anything else if it is not known.
    """
    if look.unfit:
        return walls({look.unfit: []})
    total, most = len(look.judged), min(most, len(look.judged))
    title = f"The model doubts these most: {most:,} of {count_of(total, 'new label')}. "
    title += "Look until ten in a row are right." if most < total else "There are no others."
    pages: dict[str, list[Picture]] = {} if first else {title: []}
    for start in range(first, most, PAGE):
        page = look.judged.iloc[start : min(start + PAGE, most)]
        pages[f"{start + 1} to {start + len(page)}"] = [_picture(image, project) for image in page.to_dict("records")]
    if most < total:
        pages[f"{total - most:,} more are not shown."] = []
    return walls(pages)


def _picture(image: dict, project: str) -> Picture:
    lines = [
        f"label: {image['label']}",
        f"old model: {image['opinion']}",
        f"believes the label: {percent(image['believed'])}",
        *(["left out of training"] if image["left_out"] else []),
    ]
    return Picture(image["source"], Path(image["file"]).name, lines, task_pages(image["tasks"], project))


def offer_more(look: SecondLook, project: str = "", most: int = 2 * PAGE) -> None:
    """Offer the next ten by a button, where a person sits at the notebook; JupyterLab does not save it."""
    if not is_watched() or len(look.judged) <= most:
        return
    from ipywidgets import HTML, Button, VBox  # only this needs it

    page, button, shown = HTML(), Button(description="Ten more"), most

    def show(_: object) -> None:
        nonlocal shown
        shown += PAGE
        page.value = show_doubts(look, project, shown, first=most).html
        button.disabled = shown >= len(look.judged)

    button.on_click(show)
    Output().show(VBox([page, button])._repr_mimebundle_() | {"text/plain": ""})
