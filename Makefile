# Every target does its own set-up: .venv is made, and the pins installed, only when they changed.
# Written for GNU make 3.81 (macOS) and newer.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := bench/.venv/.ready

.PHONY: help book test machines avx2 plainest threads shuffled lab notebooks bench clean

help:
	@echo 'make book              build the site into _build/html'
	@echo 'make test              run every check there is'
	@echo 'make machines          the chapters and the helpers as on other machines: make avx2, plainest,'
	@echo '                       threads and shuffled, one after another'
	@echo 'make lab               open the chapters in JupyterLab'
	@echo 'make notebooks         re-execute all chapters in place; one: make notebooks CH=08'
	@echo 'make bench             measure training beside its peers, the helpers, the sweep and the site'
	@echo 'make clean             remove all that make made (.venv, _build, caches)'
	@echo 'Another Python (3.11 or newer): make book PYTHON=python3.13'

book: $(READY)
	@rm -rf _build # pages that are not read again would not repeat their warnings
	@$(BIN)/jupyter-book build . -W -n --keep-going -q

# All checks run, also where one of them has failed. A worker takes a file at a time, and those that
# take longest first; the kernels of one compute while the browsers of the other look at pages.
test: $(READY)
	@failed=0; \
	$(BIN)/ruff check . || failed=1; \
	$(BIN)/ruff format --check . || failed=1; \
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder || failed=1; \
	exit $$failed

# The chapters, and the tests of each module of the helpers, as other machines would run them: with
# the instructions of older processors, with two threads, and in another order, each run by itself.
ELSEWHERE = $(wildcard notebooks/*.ipynb \
	$(patsubst vae_helpers/%.py,tests/test_%.py,$(wildcard vae_helpers/*.py)))

machines: $(READY)
	@failed=0; for each in avx2 plainest threads shuffled; do \
		echo "make $$each"; $(MAKE) $$each || failed=1; done; exit $$failed

avx2: export ATEN_CPU_CAPABILITY = avx2
avx2: export MKL_ENABLE_INSTRUCTIONS = AVX2
avx2: export ONEDNN_MAX_CPU_ISA = AVX2
plainest: export ATEN_CPU_CAPABILITY = default
plainest: export MKL_ENABLE_INSTRUCTIONS = SSE4_2
plainest: export ONEDNN_MAX_CPU_ISA = SSE41
avx2 plainest: $(READY)
	@$(BIN)/python -m pytest $(ELSEWHERE) -n 2 --dist loadscope

threads: $(READY)
	@OMP_NUM_THREADS=2 $(BIN)/python -m pytest $(ELSEWHERE)

shuffled: $(READY)
	@$(BIN)/python -m pytest $$(printf '%s\n' $(ELSEWHERE) | sort -R) -n 2 --dist loadscope \
		--no-loadscope-reorder

lab: $(READY)
	@$(BIN)/jupyter lab notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

notebooks: $(READY)
	@$(BIN)/python pages/execute.py $(CH)

bench: book $(PEERS)
	@bench/$(BIN)/python bench/training.py
	@$(BIN)/python bench/helpers.py
	@$(BIN)/python bench/sweep.py
	@$(BIN)/python bench/pages.py

clean:
	rm -rf .venv _build data/mnist/MNIST *.egg-info .pytest_cache .ruff_cache .hypothesis \
		bench/node_modules bench/.venv
	find book notebooks pages tests vae_helpers \( -name __pycache__ -o -name .ipynb_checkpoints \) \
		-prune -exec rm -rf {} +

# Says what is wrong with $(PYTHON) and what mends it, or nothing.
UNFIT = $(shell "$(PYTHON)" -c 'import sys; v = sys.version_info; sys.stdout.write( \
	"is Python %d.%d. Name one that you have: make PYTHON=python3.13" % v[:2] if v < (3, 11) else \
	"" if __import__("importlib.util").util.find_spec("ensurepip") else \
	"lacks ensurepip. On Debian and Ubuntu: apt install python3-venv")' 2>/dev/null \
	|| echo 'does not run. Name one that does: make PYTHON=python3.13')

# Shows of an installation what is large, and that the last and silent part has begun.
LARGE = grep --line-buffered -oE '[^ ]+ \([0-9]{2,}\.[0-9] [MG]B\)|^Installing collected packages'
INSTALL = -u -m pip install --disable-pip-version-check --progress-bar off

# The stamp is removed first and written last: an interrupted installation starts over.
$(READY): requirements.txt constraints.txt pyproject.toml
	$(if $(UNFIT),$(error This book needs a Python of 3.11 or newer that can make .venv, \
		but $(PYTHON) $(UNFIT)))
	@test -f $(READY) || "$(PYTHON)" -m venv --clear .venv
	@rm -f $(READY)
	@echo 'Installing the pins into .venv: a minute, or several where PyTorch is a CUDA build …'
	@{ $(BIN)/python $(INSTALL) -r requirements.txt && touch $(READY); } | $(LARGE); \
		test -f $(READY)

$(PEERS): requirements.txt constraints.txt pyproject.toml bench/requirements.txt $(READY)
	@test -f $(PEERS) || $(BIN)/python -m venv --clear bench/.venv
	@rm -f $(PEERS)
	@echo 'Installing the peers into bench/.venv: two minutes, or several as above …'
	@{ bench/$(BIN)/python $(INSTALL) -r requirements.txt -r bench/requirements.txt \
		&& touch $(PEERS); } | $(LARGE); \
		test -f $(PEERS)
