"""The old model's doubts about new labels, and an audit of labels; in Label Studio, so that it needs that extra."""

from extras.second_look.audit import AUDIT
from extras.second_look.audit_tasks import send_audit
from extras.second_look.gallery import offer_more, show_doubts
from extras.second_look.look import check_second_look, find_doubts, look_again
from extras.second_look.tab import open_tab

__all__ = [
    "AUDIT",
    "check_second_look",
    "find_doubts",
    "look_again",
    "offer_more",
    "open_tab",
    "send_audit",
    "show_doubts",
]
