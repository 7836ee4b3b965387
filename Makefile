# progrec: `make help` lists what there is.

PYTHON ?= python3
VENV := .venv

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Nothing that runs here, or in the activated environment, phones home.
QUIET := BENTOML_DO_NOT_TRACK=True DVC_NO_ANALYTICS=true MLFLOW_DISABLE_TELEMETRY=true
$(foreach setting,$(QUIET),$(eval export $(setting)))

.DEFAULT_GOAL := help
.PHONY: help install run update experiments plots ui serve bento test test-long screenshots docs check format lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/installed ## Make .venv and install the locked packages and progrec

run: install ## Make the sample shop if data/ is absent, run the pipeline, show the metrics
	@test -e data || progrec simulate --out data
	@dvc repro
	@progrec report
	@echo "Next:  make ui     compare the runs in MLflow"
	@echo "       make serve  serve recommendations on http://127.0.0.1:3000"

update: install ## Take in what the service has accepted, learn it day by day, publish
	@progrec events export
	@dvc add data
	@dvc repro
	@progrec report

experiments: install ## Compare the experiments of `dvc exp run`
	@dvc exp show --no-pager --drop '.*' \
		--keep 'Experiment|validation|ndcg@|over_baseline|updated|train.overrides'

plots: install ## Draw dvc_plots/index.html: model, update, calibration and training
	@dvc plots show

ui: install ## Open MLflow's UI on the local store
	mlflow ui --backend-store-uri sqlite:///mlflow.db

serve: install ## Serve the champion with BentoML
	bentoml serve

bento: install ## Build a bento with the champion inside
	progrec model export champion
	bentoml build -f bentofile.yaml; status=$$?; rm -rf champion; exit $$status

test: $(VENV)/installed-test ## Run the tests
	pytest

test-long: $(VENV)/installed-test ## Run the tests that take minutes, too
	pytest -m "slow or not slow"

screenshots: $(VENV)/installed-test ## Make the pictures of docs/images afresh, of the run that is there
	PROGREC_SAMPLE=$(CURDIR) PROGREC_SCREENSHOTS=$(CURDIR)/docs/images pytest -m "slow or not slow" \
	  tests/serving/test_page.py tests/serving/test_shop_pictures.py \
	  tests/end_to_end/test_figures.py tests/end_to_end/test_experiments.py

check: $(VENV)/installed-test ## Lint, check types and the direction of imports
	ruff check
	ruff format --check
	mypy
	lint-imports

docs: $(VENV)/installed-test ## Make docs/configuration.md of the settings and their comments
	python -m docs.configuration

format: $(VENV)/installed-test ## Format the code
	ruff check --fix
	ruff format

lock: ## Resolve the packages of pyproject.toml afresh into the lock files
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	pip install -q torch==2.13.0
	pip install -q ".[shop]"
	pip freeze --exclude progrec | sed 's/+cpu$$//' > requirements.lock
	pip install -q -c requirements.lock ".[shop,test]"
	pip freeze --exclude progrec | sed 's/+cpu$$//' | grep -vxFf requirements.lock > requirements-test.lock

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("progrec needs Python 3.11 or newer; name one: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	pip install -r requirements.lock
	pip install --no-deps --no-build-isolation --editable .
	@grep -q '$(QUIET)' $(VENV)/bin/activate || echo 'export $(QUIET)' >> $(VENV)/bin/activate
	@touch $@

$(VENV)/installed-test: $(VENV)/installed requirements-test.lock
	pip install -r requirements-test.lock
	@touch $@
