# Two commands do all the set-up: `make lab` and `make test`. `make help` lists the rest.

# The first Python that the course runs on; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
SITE_READY := .venv/.site-ready
CHAPTERS ?=
CHAPTER ?= $(CHAPTERS)
# What may not be skipped on a machine that is meant to try it, such as PROMISED="no sandbox|Chromium".
PROMISED ?=
NOTEBOOKS = $(if $(CHAPTERS),$(foreach c,$(CHAPTERS),$(wildcard solutions/$(c)_*.ipynb)),$(wildcard solutions/[0-9]*.ipynb))

# Tests run side by side, so each process computes on one thread; an input pipeline needs a second one to wait on.
THREADS = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=2

.PHONY: help lab test grade build measure hostile nbgrader site matrix rooms benchmark lint requirements clean
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'
	@echo "  CHAPTERS=\"03 06\" limits test and build to those chapters; CHAPTER=03 names the one to grade."

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "The course needs Python 3.11, 3.12 or 3.13, and there is none here \
	($$(python3 --version 2>&1)). Install one from python.org or your package manager, then run make again."; exit 1; }
	@echo "Setting up .venv with $(PYTHON); this fetches some 700 MB once."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "python -m venv failed; on Debian and Ubuntu: \
	sudo apt install python3-venv"; rm -rf .venv; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

lab: $(READY)  ## open your own copies of the lessons, work/, in JupyterLab
	@$(BIN)/course lab

grade: $(READY)  ## grade your answers: make grade CHAPTER=03, or all that there are
	@# Answers that are not right yet (status 1) are no fault of make's, which would call them one.
	@$(BIN)/course grade $(CHAPTER) || test $$? = 1

test: $(READY) lint  ## run every test, on the quick budget; ALL=1 leaves nothing out
	$(THREADS) COURSE_BUDGET=quick $(if $(ALL),HOSTILE_ALL=1) $(BIN)/python -m pytest -q --nbval-lax -n auto --maxprocesses 4 --dist loadfile \
		--chapters "$(CHAPTERS)" $(if $(ALL),--whole) --promised "$(PROMISED)" $(if $(CHAPTERS),tests/chapters,tests) $(NOTEBOOKS)

lint: $(READY)
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/mypy

build: $(READY)  ## derive the notebooks from the chapters' sources
	@$(BIN)/course build $(CHAPTERS)

measure: $(READY)  ## record the figures of the quick budget, seeds 0 to 4
	@$(BIN)/course measure $(CHAPTERS)

hostile: $(READY)  ## grade a class of attackers, and hold that none of them gains anything
	HOSTILE_ALL=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/classroom/test_hostile_*.py
	@$(BIN)/python tests/classroom/drawing.py

nbgrader: $(READY)  ## hold that nbgrader, in an environment of its own, gives the same verdicts
	@test -x .venv-nbgrader/bin/nbgrader || { $(BIN)/python -m venv .venv-nbgrader \
		&& .venv-nbgrader/bin/pip install -q --disable-pip-version-check nbgrader; }
	@# What nbgrader does not bring, Keras and the course, it sees in .venv.
	@where='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		{ $(BIN)/python -c "$$where"; echo $(CURDIR); } > "$$(.venv-nbgrader/bin/python -c "$$where")/course.pth"
	COURSE_NBGRADER=$(CURDIR)/.venv-nbgrader/bin/python $(BIN)/python -m pytest -q tests/classroom/test_nbgrader.py

# Nobody who only learns needs any of this, so it is installed when the site is first asked for.
$(SITE_READY): $(READY) requirements-site.txt site/package.json site/package-lock.json
	@command -v npm >/dev/null || { echo "The site's formulas are typeset by KaTeX, which npm installs, and there is no \
	npm here; on Debian and Ubuntu: sudo apt install npm"; exit 1; }
	@echo "Installing what the site is made with, some 60 MB, into .venv and site/node_modules."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-site.txt
	@npm ci --prefix site --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

site: $(SITE_READY)  ## build the website; STUDENTS=1 leaves the solutions out, REPOSITORY=... shows the launch buttons
	@$(BIN)/python site/build.py $(if $(REPOSITORY),--repository $(REPOSITORY)) $(if $(STUDENTS),--students)

matrix: $(READY)  ## try the oldest and newest versions on each Python, and an imitation of Colab (needs uv, takes an hour)
	@$(BIN)/python tests/matrix.py $(ROWS)

rooms: $(READY)  ## print which room of the course imports which
	@$(BIN)/python tests/rooms.py

benchmark: $(READY)  ## measure grading, the chapters and adversarial steps on this machine
	@$(BIN)/python benchmarks/speed.py $(CHAPTERS)
	@$(BIN)/python benchmarks/adversarial.py

requirements:  ## pin the newest versions that pyproject.toml allows (needs uv)
	uv pip compile -q --universal --upgrade --python-version 3.11 --extra dev --no-annotate \
		--custom-compile-command "make requirements" pyproject.toml -o requirements.txt
	uv pip compile -q --universal --upgrade --python-version 3.11 --extra dev --extra site --no-annotate \
		-c requirements.txt --custom-compile-command "make requirements" pyproject.toml -o requirements-site.txt

clean:  ## remove .venv; your notebooks stay
	rm -rf .venv
