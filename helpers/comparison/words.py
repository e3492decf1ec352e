"""Numbers and lists in words, the same in sentences, tables and figures."""

from collections.abc import Sequence, Sized


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def signed(number: float, digits: int = 0) -> str:
    return "0" if round(number, digits) == 0 else f"{number:+,.{digits}f}".replace("-", "−")


def points(share: float) -> str:
    """Write a difference of two shares in percentage points."""
    return signed(100 * share, 1)


def interval_name(confidence: float) -> str:
    """Name the interval between two bounds that hold with this confidence each: of 0.95, it is a 90 % interval."""
    return f"{200 * confidence - 100:g} % interval"


def count_of(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def describe_images(images: int, scenes: int = 0) -> str:
    """Count held-out images and, where they have any, their scenes."""
    of_scenes = f" of {count_of(scenes, 'scene')}" if scenes else ""
    return f"{count_of(images, 'held-out image')}{of_scenes}"


def listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def left_out(items: Sized, most: int) -> str:
    return f" ({len(items) - most:,} more are not shown)" if len(items) > most else ""
