"""Label Studio, real and pretended."""

from label_studio_server import label_studio, pretended

__all__ = ["label_studio", "pretended"]
