"""How nbval's kernels run: as `make notebooks` runs them, so that outputs match."""

import os

os.environ["TQDM_DISABLE"] = "1"  # a bar would print its timings
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # no word about frozen modules
os.environ.pop("MPLBACKEND", None)  # figures go inline
