# `make demo` sets everything up and assesses an example; `make test` sets everything up and passes the tests.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all test-slow check bench generate clean

demo: $(STAMP)
	$(RUN)/hostproof assess examples/snp/vm.args \
	  --kernel examples/facts/debian-12-cloud-6.1.192.json \
	  --use third-party-server --verifier examples/snp/verifier.toml \
	  --gate none --page ledger.html

# The fast suite: under 5 minutes on two cores.
test: $(STAMP) check
	$(RUN)/pytest -m "not slow" -n 2

# Everything: what CI runs.
test-all: $(STAMP) check kernels
	HOSTPROOF_KERNELS=$(CURDIR)/.kernels $(RUN)/pytest -n 2

check: $(STAMP)
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy

bench: $(STAMP) kernels
	HOSTPROOF_KERNELS=$(CURDIR)/.kernels $(RUN)/python benchmarks/run.py

# The distribution kernels of the slow suite and of the benchmarks, from the machine's own package sources.
KERNELS ?= linux-image-6.1.0-55-amd64-unsigned linux-image-6.1.0-55-cloud-amd64-unsigned
.PHONY: kernels
kernels:
	scripts/fetch_kernels.sh .kernels $(KERNELS)

# Generated data: the ledger's schema and the expected ledgers of the examples.
generate: $(STAMP)
	$(RUN)/python -m hostproof.report.schema > src/hostproof/report/ledger.schema.json.new
	mv src/hostproof/report/ledger.schema.json.new src/hostproof/report/ledger.schema.json
	$(RUN)/python scripts/expected_ledgers.py

$(STAMP): pyproject.toml scripts/setup.sh requirements.txt
	PYTHON=$(PYTHON) scripts/setup.sh $(VENV)
	touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .kernels ledger.html
