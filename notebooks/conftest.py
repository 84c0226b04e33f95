"""How nbval runs kernels, as `make notebooks` does, and compares what they print."""

import os

from execute import KERNEL_ENVIRONMENT, font_cache
from nbval.plugin import IPyNbCell
from printed import Printed

os.environ |= KERNEL_ENVIRONMENT | {"MPLCONFIGDIR": font_cache()}
os.environ.pop("MPLBACKEND", None)  # figures go inline

sanitize = IPyNbCell.sanitize  # gives each text just before nbval compares it


def sanitize_and_read(cell: IPyNbCell, output: object) -> object:
    """The text, and nbval's own comparison now reads its numbers."""
    text = sanitize(cell, output)
    return Printed(text) if isinstance(text, str) else text


IPyNbCell.sanitize = sanitize_and_read
