"""How nbval's kernels run: as `make notebooks` runs them, so that outputs match."""

import os

from execute import KERNEL_ENVIRONMENT, font_cache

os.environ |= KERNEL_ENVIRONMENT | {"MPLCONFIGDIR": font_cache()}
os.environ.pop("MPLBACKEND", None)  # figures go inline
