"""The record of a decision, ``evaluation/decision.json``, in every version that this project has written."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter

SCHEMA = 4  # a higher number for a field that changes its meaning or goes; records without a number are of schema 1


@dataclass(frozen=True)
class Rule:
    """A condition that a new model has to meet, and whether it does; None if it only informs and refuses nothing."""

    rule: str
    passed: bool | None
    explanation: str


@dataclass(frozen=True)
class Decision:
    """Whether a new model may replace the old one, with the reasons and the facts behind it.

    `verdict`: ``first`` (there is no old model), ``better`` or ``worse`` (the interval lies above or below 0),
    ``equivalent`` (within ± margin) or ``undecided``. `accepted` is None where nothing was decided. `sentence` is the
    verdict in words, and `headline` a second half for it. `notes` are sentences on the limits of the comparison;
    `images` and `figures` are the rows of the comparison's `tally` and `summary`, `new_classes` those of the recall of
    classes that only the new model knows, and `lost_classes` those of the old model's recall of classes that the new
    one has lost. `policy` has the settings of the section ``decide`` of ``params.yaml``, and `settings` copies of the
    sections that extras depend on; `policy_changes` name the ones of both that differ from those of the model that
    would be replaced. `findings` are the records of extras, by name.

    `judged` are the versions of all models that were judged on the held-out images of this `seed`: a held-out set
    loses value each time it judges a model (Renggli et al. 2019, arXiv 1903.00278).
    """

    schema: int = SCHEMA
    verdict: str = ""
    accepted: bool | None = None
    sentence: str = ""
    headline: str = ""
    rules: list[Rule] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    new_classes: list[dict[str, Any]] = field(default_factory=list)
    lost_classes: list[dict[str, Any]] = field(default_factory=list)
    policy: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    policy_changes: list[str] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)  # images `added`, labels `corrected`
    trained_on: int = 0  # images
    model: str = ""
    baseline: str = ""
    baseline_commit: str = ""
    replaces: str = ""
    replaces_commit: str = ""
    export: str = ""
    export_sha256: str = ""
    labels_sha256: str = ""
    labels_until: str = ""
    seed: int | None = None
    judged: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """The reasons why the model is not accepted: the explanations of the rules that it failed."""
        return [rule.explanation for rule in self.rules if rule.passed is False]

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """The row of `figures` with the accuracy on all images that count; None if there are none."""
        rows = (row for row in self.figures if (row["population"], row["metric"]) == ("together", "accuracy"))
        return next(rows, None)

    @property
    def policy_note(self) -> str:
        """A sentence on the `policy_changes`, empty if there are none."""
        changes = "; ".join(self.policy_changes)
        return f"The policy is not that of the model to replace: {changes}." if changes else ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Decision":
        """Read a record of any schema up to `SCHEMA`; a ValueError if a field has another type.

        Fields that an older record lacks have their defaults.
        """
        names = {one.name for one in fields(cls)}
        known = {name: value for name, value in _modernise(record).items() if name in names}
        return TypeAdapter(cls).validate_python(known | {"schema": SCHEMA})


def _modernise(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give a record of an earlier schema the fields of today's."""
    moved, schema = dict(record), record.get("schema", 1)
    policy = dict(record.get("policy", {}))
    if schema < 4 and policy:
        moved["policy"] = {"confidence": 0.975} | policy  # the intervals were 95 % ones
    if schema < 3:
        if "max_label_noise" in policy:
            moved["settings"] = {"second_look": {"max_label_noise": moved["policy"].pop("max_label_noise")}}
        names = {"label_noise": "second_look", "seed_noise": "chance"}
        moved["findings"] = {name: record[field] for field, name in names.items() if field in record}
    return moved
