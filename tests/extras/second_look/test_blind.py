"""People agree with a model more often where they see its opinion: by how much, and how sure that is."""

import pandas as pd
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from extras.second_look.blind import compare_blind, describe_blind, newcombe


def labelled(seen: int, seen_agreed: int, blind: int, blind_agreed: int) -> pd.DataFrame:
    """So many images were labelled by people who saw the model's opinion and who did not, and so many of each agree."""
    flags = [False] * seen + [True] * blind
    agreed = [n < seen_agreed for n in range(seen)] + [n < blind_agreed for n in range(blind)]
    table = pd.DataFrame({"blind": pd.Series(flags, dtype=object), "label": "ham"})
    return table.assign(opinion=["ham" if agrees else "eggs" for agrees in agreed])


def test_the_sentence_says_both_shares_and_what_lies_between():
    table = labelled(180, 175, 20, 18)

    low, high = confint_proportions_2indep(175, 180, 18, 20, method="newcomb", compare="diff")
    assert describe_blind(compare_blind(table)) == (
        "People agreed with the model on 97.2 % of 180 images where they saw its opinion and on 90.0 % of 20 where "
        f"they did not: a difference of +7.2 points (95 % interval −{-100 * low:.1f} to +{100 * high:.1f})."
    )


@pytest.mark.parametrize("counts", [(180, 175, 20, 18), (3, 3, 2, 0), (1000, 700, 100, 70), (9, 0, 9, 0), (5, 5, 1, 1)])
def test_intervals_are_those_of_an_independent_implementation(counts):
    seen, seen_agreed, blind, blind_agreed = counts

    rows = compare_blind(labelled(*counts))

    expected = confint_proportions_2indep(seen_agreed, seen, blind_agreed, blind, method="newcomb", compare="diff")
    assert newcombe(rows) == pytest.approx(expected)
    assert rows["images"].to_dict() == {False: seen, True: blind}
    assert rows["share"].to_dict() == {False: seen_agreed / seen, True: blind_agreed / blind}


def test_images_of_one_scene_count_as_one():
    table = labelled(180, 170, 20, 10)
    ten = table.loc[table.index.repeat(10)].assign(scene=table.index.repeat(10)).reset_index(drop=True)
    low, high = newcombe(compare_blind(ten))
    assert (low, high) == pytest.approx(newcombe(compare_blind(table)), abs=0.01)


def test_images_of_which_something_is_not_known_do_not_count():
    table = labelled(4, 3, 3, 2)
    unknown = pd.DataFrame(
        {"blind": [None, True, False], "label": ["ham", None, "ham"], "opinion": ["ham", "ham", None]}
    )

    assert compare_blind(pd.concat([table, unknown])).equals(compare_blind(table))


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (7, 5, 0, 0), (0, 0, 7, 5)])
def test_one_kind_alone_gives_no_sentence(counts):
    rows = compare_blind(labelled(*counts))

    assert describe_blind(rows) == ""
    assert rows["images"].sum() == counts[0] + counts[2]
