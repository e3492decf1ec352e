"""The old model's doubts about new labels, also in Label Studio, so that it needs `extras.label_studio`."""

from extras.second_look.gallery import show_doubts
from extras.second_look.look import check_second_look, find_noise, look_again
from extras.second_look.tab import open_tab

__all__ = ["check_second_look", "find_noise", "look_again", "open_tab", "show_doubts"]
