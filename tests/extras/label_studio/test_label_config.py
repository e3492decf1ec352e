"""A labelling configuration that cannot be read is explained in words."""

import pytest

from extras.label_studio.label_config import find_control
from helpers.problems import Problem


@pytest.mark.parametrize("config", ["<!DOCTYPE View><View/>", "<!DOCTYPE a [<!ENTITY b 'b'>]><View>&b;</View>"])
def test_a_document_type_is_named_as_one(config):
    with pytest.raises(Problem, match="has a document type") as problem:
        find_control(config, {"cat"})
    assert "DTDForbidden" not in str(problem.value)
    assert "<!DOCTYPE" in str(problem.value)


@pytest.mark.parametrize("config", ["", "<View", "<View>\ud800</View>", "<View>&nbsp;</View>", "\x00"])
def test_what_is_no_xml_is_a_problem(config):
    with pytest.raises(Problem, match="cannot be read as XML"):
        find_control(config, {"cat"})
