"""Labelling configurations of Label Studio: which control takes a class, of which image; and how to write one."""

import re
from collections.abc import Sequence, Set
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]
from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]

from helpers.problems import Problem


class Control(NamedTuple):
    """A ``<Choices>`` tag for whole images."""

    name: str
    to_name: str  # the name of its <Image> tag
    image_key: str  # the field of the tasks' data that holds the image
    classes: frozenset[str]  # as results hold them: the alias of a <Choice> that has one, else its value

    def prediction(self, label: str, score: float, version: str) -> dict[str, Any]:
        """A prediction, as Label Studio stores it: one region with one choice."""
        region = {"from_name": self.name, "to_name": self.to_name, "type": "choices", "value": {"choices": [label]}}
        return {"result": [{**region, "score": score}], "score": score, "model_version": version}


def find_control(label_config: str, classes: Set[str]) -> Control | None:
    """Find the control that has most of the classes; None if no control has any of them.

    A `Problem` tells that this is no XML, or that it has a document type.
    """
    try:
        view = fromstring(label_config, forbid_dtd=True)
    except DefusedXmlException:
        headline = "The labelling configuration has a document type, which could make it grow without end."
        raise Problem(headline, advice="Take its `<!DOCTYPE …>` away: Label Studio needs none.") from None
    except (ParseError, ValueError) as error:
        reason = "it holds half of a surrogate pair" if isinstance(error, UnicodeError) else str(error)
        raise Problem("The labelling configuration cannot be read as XML.", [reason]) from None
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
        hotkey = {"hotkey": label} if re.fullmatch("[a-z0-9]", label) else {}
        SubElement(choices, "Choice", {"value": label, **hotkey})
    return tostring(view, encoding="unicode")
