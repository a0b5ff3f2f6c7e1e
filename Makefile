# Modelport's menu. Works with GNU make 3.81 (macOS) and any POSIX shell.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PROJECT := pyproject.toml requirements/build.txt

SOURCES := libs services tests tools deploy

.DEFAULT_GOAL := help
.PHONY: bench bench-propagation bench-scale faults fuzz help up install test test-published-client check format lock clean postgres compose-init test-compose advisories sbom

help:  ## this menu
	@echo "Modelport: one address for every model"
	@echo
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-30s %s\n", $$1, $$2 }'
	@echo
	@echo "Settings: MODELPORT_PORT (8080), MODELPORT_DATA_DIR (.modelport), MODELPORT_TEST_SERVERS (native, containers)"

up: install  ## install what is needed and run the whole platform here, in the foreground
	@exec $(BIN)/nemo services run

install: $(VENV)/installed-runtime  ## install it into .venv without running it

# Three at a time on two cores: a third of a test's time is waiting. The hundreds of processes that they start need not
# compile our modules each, where the environment says that compiled ones be not kept.
test: export PYTHONDONTWRITEBYTECODE =
# With ARGS only a part runs, which need not leave something in each place that is searched for canaries.
test: export MODELPORT_CANARIES_WHOLE = $(if $(ARGS),,1)
test: $(VENV)/installed-dev postgres  ## run all tests on real servers; ARGS="-k name" passes options to pytest
	@$(BIN)/python -m pytest -n 3 -m "not published_client and not compose" --durations=25 $(ARGS)

test-published-client: $(VENV)/installed-dev  ## run the published nemo-platform client against it (downloads 0.5 GB, once)
	@MODELPORT_PUBLISHED_CLIENT=`$(BIN)/python tools/published_client.py` && export MODELPORT_PUBLISHED_CLIENT && \
	$(BIN)/python -m pytest -n 2 -m published_client tests/published_client $(ARGS)

FUZZ_SECONDS := 60
fuzz: $(VENV)/installed-dev requirements/fuzz.txt  ## look for bodies that the splice gets wrong, for FUZZ_SECONDS=60
	@$(PIP) install --no-deps --require-hashes -r requirements/fuzz.txt
	@mkdir -p .fuzz/splice
	@PYTHONPATH=tests/support $(BIN)/python tests/fuzz/splice.py -max_total_time=$(FUZZ_SECONDS) -verbosity=0 \
	  -artifact_prefix=.fuzz/ .fuzz/splice tests/fuzz/corpus/splice

check: $(VENV)/installed-dev  ## formatter, linter, types, import rules, wheel, known vulnerabilities, documents
	@status=0; run() { echo "== $$*"; "$$@" || status=1; }; \
	run $(BIN)/ruff format --check $(SOURCES); \
	run $(BIN)/ruff check --quiet $(SOURCES); \
	run $(BIN)/mypy $(SOURCES); \
	run $(BIN)/lint-imports; \
	run $(BIN)/python tools/wheel_contents.py; \
	run $(BIN)/python tools/audit.py; \
	if [ -f tools/references.py ]; then run $(BIN)/python tools/references.py --check; fi; \
	exit $$status

advisories: $(VENV)/installed-dev  ## record what is known against the locked packages (asks api.osv.dev)
	@$(BIN)/python tools/audit.py --record

sbom: $(VENV)/installed-dev  ## write dist/sbom-*.json: what is locked for the local stack and the image, as CycloneDX
	@mkdir -p dist
	@for lock in runtime server; do \
	  PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	    --output-file dist/sbom-$$lock.json requirements/$$lock.txt && echo dist/sbom-$$lock.json || exit 1; \
	done

format: $(VENV)/installed-dev  ## format the sources and mend what the linter can
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

# What is locked stays as it is while it satisfies pyproject.toml; make lock UPGRADE=--upgrade takes the newest.
lock:  ## write requirements/*.txt anew from pyproject.toml (needs uv)
	@UV=`command -v $(BIN)/uv || command -v uv` || { echo "uv is missing: pip install uv" >&2; exit 1; }; \
	compile="$$UV pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE)"; \
	$$compile pyproject.toml --extra local --extra openai -o requirements/runtime.txt && \
	$$compile pyproject.toml --extra server -c requirements/runtime.txt -o requirements/server.txt && \
	$$compile pyproject.toml --all-extras --group dev -c requirements/runtime.txt -o requirements/dev.txt && \
	$$compile --group fuzz -o requirements/fuzz.txt && \
	echo hatchling | $$compile - -c requirements/dev.txt -o requirements/build.txt && \
	echo nemo-platform==0.3.0 | $$compile - -o requirements/published-client.txt && \
	echo 'litellm[proxy]==1.106.2' | $$compile --no-annotate - -o requirements/bench-litellm.txt && \
	echo 'nemo-platform[services]==0.3.0' | $$compile --no-annotate - -o requirements/bench-platform.txt

clean:  ## remove .venv and what tools have left; the data folder stays
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .fuzz dist

# The stamps: nothing is installed while the locks and the project are unchanged.
$(VENV)/installed-runtime: requirements/runtime.txt $(PROJECT) $(BIN)/python
	@echo "Installing Modelport into $(VENV) (once; about a minute)"
	@$(PIP) install --no-deps --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/installed-dev: requirements/dev.txt $(VENV)/installed-runtime
	@echo "Installing what tests and checks need into $(VENV)"
	@$(PIP) install --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

# Looked at through the link: a .venv whose interpreter was removed or upgraded is made, or filled, again.
$(BIN)/python:
	@for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	  version=`$$python -c 'import sys; print("%d %d" % sys.version_info[:2])' 2>/dev/null` || continue; \
	  case $$version in "3 11"|"3 12"|"3 13"|"3 14") ;; *) continue ;; esac; \
	  if $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	    $$python -m venv --clear $(VENV); exit; \
	  fi; \
	  lacking="$${lacking:-$$python}"; \
	done; \
	if [ -n "$$lacking" ]; then \
	  echo "$$lacking has no venv module: apt-get install python3-venv (Debian, Ubuntu)" >&2; \
	else \
	  echo "Python 3.11 to 3.14 is missing: apt-get install python3 python3-venv (Debian), brew install python@3.13 (macOS)" >&2; \
	fi; \
	exit 1

postgres:
	@program=postgres; [ "$$MODELPORT_TEST_SERVERS" = containers ] && program=psql; \
	command -v $$program >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/$$program >/dev/null 2>&1 \
	  || { echo "PostgreSQL is missing: apt-get install postgresql (Debian), brew install postgresql (macOS)" >&2; exit 1; }

bench: $(VENV)/installed-dev  ## measure speed beside nginx (needs wrk, nginx); ARGS=--quick, or --help for all options
	@PYTHONPATH=tests/support:tests/bench $(BIN)/python -m modelport_bench $(ARGS)

bench-propagation: $(VENV)/installed-dev  ## measure how fast a change reaches all of three gateways; ARGS=--write
	@PYTHONPATH=tests/support:tests/bench $(BIN)/python -m modelport_propagation $(ARGS)

bench-scale: $(VENV)/installed-dev postgres  ## measure with 50,000 providers and 200,000 models; ARGS=--write
	@PYTHONPATH=tests/support:tests/bench $(BIN)/python -m modelport_scale $(ARGS)

faults: $(VENV)/installed-dev postgres  ## kill, pause, cut off and empty every part under load (root, cc, HAProxy); ARGS=--write
	@PYTHONPATH=tests/support:tests/faults $(BIN)/python -m modelport_faults $(ARGS)

compose-init:  ## make the compose stack's keys and passwords in .compose/; then: docker compose up -d
	@python3 deploy/init.py

test-compose: $(VENV)/installed-dev  ## test the compose stack (needs a Docker engine; .ci/docker-engine brings one up)
	@$(BIN)/python -m pytest -m compose $(ARGS) tests/compose
