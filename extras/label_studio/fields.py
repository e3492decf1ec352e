"""The field of the tasks' data that tells whether people label an image blind."""

BLIND = "blind"  # whether the task was sent without the model's opinion


def is_blind(value: object) -> bool | None:
    """Read a value of the field `BLIND`, which a CSV has as text; None if it says nothing."""
    return {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, bool | str) else None
