"""Labelling configurations of Label Studio: which control takes a class, of which image; and how to write one."""

import re
from collections.abc import Sequence, Set
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from helpers.problems import Problem


class Control(NamedTuple):
    """A ``<Choices>`` tag for whole images.

    Attributes
    ----------
    name : str
    to_name : str
        The name of its ``<Image>`` tag.
    image_key : str
        The field of the tasks' data that holds the image.
    classes : frozenset of str
        What results hold: of a ``<Choice>`` with an alias that, not its value.
    """

    name: str
    to_name: str
    image_key: str
    classes: frozenset[str]

    def result(self, label: str, score: float) -> list[dict[str, Any]]:
        """A prediction's ``result``, as Label Studio stores it: one region with one choice."""
        region = {"from_name": self.name, "to_name": self.to_name, "type": "choices"}
        return [{**region, "value": {"choices": [label]}, "score": score}]


def find_control(label_config: str, classes: Set[str]) -> Control | None:
    """Find the control that has most of the classes.

    Parameters
    ----------
    label_config : str
        XML.
    classes : set of str

    Returns
    -------
    Control or None
        None if no control has any of the classes.

    Raises
    ------
    Problem
        It is no XML, or has a document type, which could make it grow without end.
    """
    try:
        view = fromstring(label_config, forbid_dtd=True)
    except (ParseError, ValueError) as error:  # defusedxml's own are ValueErrors
        raise Problem("The labelling configuration cannot be read as XML.", [str(error)]) from None
    images = {tag.get("name"): tag.get("value", "").removeprefix("$") for tag in view.iter("Image")}
    controls = [
        Control(
            tag.get("name", ""),
            tag.get("toName"),
            images[tag.get("toName")],
            frozenset(choice.get("alias") or choice.get("value", "") for choice in tag.iter("Choice")),
        )
        for tag in view.iter("Choices")
        if tag.get("toName") in images and tag.get("perRegion") != "true"
    ]
    best = max(controls, key=lambda control: len(control.classes & classes), default=None)
    return best if best and best.classes & classes else None


def make_config(classes: Sequence[str]) -> str:
    """The labelling configuration for one class per image. A class of one letter or digit has that as its key."""
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image")
    choices = SubElement(view, "Choices", name="label", toName="image", choice="single", showInline="true")
    for label in classes:
        SubElement(choices, "Choice", {"value": label} | ({"hotkey": label} if re.fullmatch("[a-z0-9]", label) else {}))
    return tostring(view, encoding="unicode")
