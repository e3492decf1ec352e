VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# Where to retrain and whose model to serve; the sample is in demo.
WORKSPACE := .

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## Retrain on the sample, headless: demo/report.html
	@echo "A sample with a trained baseline, in demo/: ten seconds. Then a round in it: half a minute."
	$(BIN)/python -m examples.digits demo
	@$(MAKE) --no-print-directory retrain WORKSPACE=demo
	@echo "The report: demo/report.html, the executed notebook: demo/out.ipynb"

retrain: $(VENV)/installed ## Retrain headless: make retrain EXPORT=annotations.json, writes report.html
	@cd $(WORKSPACE) && "$(abspath $(BIN))/python" -m helpers.round.headless $(if $(EXPORT),"$(EXPORT)")

lab: $(VENV)/installed ## Open the notebook in JupyterLab, in a sample of its own
	$(BIN)/python -m examples.digits demo-lab
	cd demo-lab && "$(abspath $(BIN))/jupyter" lab --config=notebooks/jupyter_server_config.py --notebook-dir=. notebooks/retrain.ipynb

serve: $(VENV)/installed ## Serve the model of the last commit to Label Studio, at http://127.0.0.1:9090
	cd $(WORKSPACE) && "$(abspath $(BIN))/uvicorn" --factory extras.backend.app:make_backend --port 9090

verify: $(VENV)/installed ## Train a published model again and compare: make verify REVISION=model/v7
	@cd $(WORKSPACE) && "$(abspath $(BIN))/python" -m extras.verify "$(REVISION)"

backbone: $(VENV)/installed ## Write the pretrained backbones/efficientnet-lite0.onnx, for photographs
	$(BIN)/python -m examples.efficientnet_lite0

test: $(VENV)/installed-dev ## Run the tests that take minutes together
	$(BIN)/pytest --numprocesses auto --dist worksteal -m "not (slow or kills or label_studio or browser)"

slow: $(VENV)/installed-dev ## Run the tests that take longer
	$(BIN)/pytest --numprocesses auto -m "slow and not kills"
	HYPOTHESIS_PROFILE=thorough $(BIN)/pytest --numprocesses auto -m hypothesis

kills: $(VENV)/installed-dev ## Kill a hundred rounds at random instants: half an hour
	$(BIN)/pytest --numprocesses auto -m kills

browser: $(VENV)/installed-dev ## Run the tests with a real browser, which leave screenshots/
	$(BIN)/pytest -m browser

circle: $(VENV)/installed-dev ## Run the tests with a real Label Studio, which is installed once into ~/.cache
	$(BIN)/pytest -m label_studio

lint: $(VENV)/installed-dev ## Check style, types and which way imports point
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: $(VENV)/installed-dev ## Put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

notebook: $(VENV)/installed-dev ## Run the notebook in a new sample and store its outputs in notebooks/, its picture in docs/
	rm -rf demo demo.git demo-storage
	$(BIN)/python -m examples.digits demo
	cd demo/notebooks && "$(abspath $(BIN))/jupyter" nbconvert --log-level WARN --to notebook --execute --ExecutePreprocessor.record_timing=False --inplace retrain.ipynb
	cp demo/notebooks/retrain.ipynb notebooks/retrain.ipynb
	cd demo/notebooks && "$(abspath $(BIN))/jupyter" nbconvert --log-level WARN --to html --template report retrain.ipynb
	$(BIN)/python -m examples.picture demo/notebooks/retrain.html

BENCHMARKS := start verdicts reading merging backend rounds growth photographs
bench: $(VENV)/installed-dev ## Measure times and accuracies, or a part of them: make bench growth
	$(BIN)/python -m benchmarks $(filter $(BENCHMARKS),$(MAKECMDGOALS))
$(BENCHMARKS): bench
	@:

# Compiling all that is installed takes half a minute. Python compiles what it imports, unless it may not keep that.
$(VENV)/installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV), once: some minutes, most of them for PyTorch."
	$(BIN)/pip install $(if $(PYTHONDONTWRITEBYTECODE),,--no-compile) --requirement requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/pip install --requirement requirements-dev.txt
	@touch $@

.DEFAULT_GOAL := help
.PHONY: help demo retrain lab serve verify backbone test slow kills browser circle lint format notebook bench $(BENCHMARKS)
