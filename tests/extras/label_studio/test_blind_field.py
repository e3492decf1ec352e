"""The field that says whether an image was sent without the opinion of the model."""

import pytest

from extras.label_studio.fields import is_blind


@pytest.mark.parametrize(
    ("value", "blind"),
    [(True, True), ("true", True), ("FALSE", False), (1, None), ("", None), ([True], None), (None, None)],
)
def test_a_value_that_tells_something_else_tells_nothing(value, blind):
    assert is_blind(value) is blind
