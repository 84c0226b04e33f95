"""How nbval's kernels run: as `make notebooks` runs them, so that outputs match."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # two threads crawl on a busy machine
os.environ["TQDM_DISABLE"] = "1"  # a bar would print its timings
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # no word about frozen modules
os.environ.pop("MPLBACKEND", None)  # figures go inline
