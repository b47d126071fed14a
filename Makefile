# Everything sets itself up: `make demo`, `make talk` and `make test` need Python 3.11+ and make, nothing else.
PYTHON ?= python3
FILE ?= config/ai-agent.yaml
BIN := .venv/bin
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo talk test test-benchmarks test-pythons lint types check engine-run engine-reload engine-status docs docs-serve faults fuzz soak conversation-rates phrase-rates bench bench-peers bench-chain bench-watched profile bench-reload bench-agreement bench-reading bench-records bench-history fleet-simulation schema clean

help:  ## Shows this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "voicepipe needs Python 3.11 or newer, and $(PYTHON) is not: try 'make PYTHON=python3.12 $(MAKECMDGOALS)'"; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { echo "On Debian and Ubuntu the venv module is a package of its own: apt install python3-venv"; exit 1; }
	@touch $@

.venv/local: .venv/python pyproject.toml constraints.txt
	@echo "Installing voicepipe with its embedded parts (once, about a minute)"
	@$(BIN)/pip install --quiet --editable '.[local]'
	@touch $@

.venv/dev: .venv/local
	@echo "Installing what tests and documentation need (once, about a minute)"
	@$(BIN)/pip install --quiet --editable '.[all,dev,docs]'
	@touch $@

setup: .venv/dev  ## Installs everything into .venv

demo: .venv/local  ## Places real calls over AudioSocket, reloads under them, and shows it
	@$(BIN)/python -m examples.demo

talk: .venv/local  ## Lets you talk to an agent in your browser, and change it while you do
	@exec $(BIN)/python -m examples.talk

# Where Python is told not to write compiled code, as in containers, each of the hundreds of processes that tests start
# would compile everything again, and so would each worker.
test: .venv/dev lint types  ## Lint, types and all tests but those of the benchmarks
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder --ignore tests/benchmarks

test-benchmarks: .venv/dev  ## A short form of the benchmarks: that they run, and what they print
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses 2 --dist loadfile tests/benchmarks

test-pythons: .venv/dev  ## A short form of the tests on every other Python that is installed: 3.12, 3.13, 3.14
	@tests/other_pythons.sh

lint: .venv/dev  ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev  ## mypy, strict
	$(BIN)/mypy

check: .venv/local  ## Checks FILE (config/ai-agent.yaml) without starting anything
	@$(BIN)/voicepipe check $(FILE)

engine-run: .venv/local  ## Takes calls on 127.0.0.1:9092 with FILE
	@exec $(BIN)/reference-engine run $(FILE)

engine-reload: .venv/local  ## Has the running engine read its file again; shows what came of it
	@$(BIN)/reference-engine reload

engine-status: .venv/local  ## Shows what the running engine serves
	@$(BIN)/reference-engine status

docs: .venv/dev  ## Builds the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html"

docs-serve: .venv/dev  ## Serves the documentation while you write it
	$(BIN)/mkdocs serve

faults: .venv/dev  ## Every fault of a provider, in every role, at every moment: what the caller notices, as a table
	$(BIN)/python tests/faults/matrix.py

fuzz: .venv/dev  ## Throws mutated bytes at the decoders of transports and the configuration, a minute each
	$(BIN)/python tests/fuzz/fuzz_audiosocket.py --seconds 60
	$(BIN)/python tests/fuzz/fuzz_media_stream.py --seconds 60
	$(BIN)/python tests/fuzz/fuzz_config.py --seconds 60

soak: .venv/dev  ## Two minutes of 50 calls, the second with a reload every second
	$(BIN)/python tests/benchmarks/soak.py

conversation-rates: .venv/dev  ## How often replies stop for nothing, and go on over the caller, by telephone line
	$(BIN)/python tests/benchmarks/turn_rates.py

phrase-rates: .venv/dev  ## How often PocketSphinx hears its phrases where nobody said them, and misses them: five minutes
	$(BIN)/python tests/benchmarks/phrase_rates.py

bench: .venv/dev  ## What a call costs, beside a bare echo: half an hour; BENCH="--calls 50 --runs 1" for less
	$(BIN)/python tests/benchmarks/bench.py $(BENCH)

bench-peers: .venv/dev  ## The same through Pipecat and LiveKit Agents: an hour; BENCH="--calls 10,50 --runs 1" for ten minutes, BENCH=--chain for that with vendors
	$(BIN)/python tests/benchmarks/bench_peers.py $(BENCH)

bench-chain: .venv/dev  ## The same with Deepgram's and OpenAI's protocols: an hour; BENCH="--calls 50 --runs 1 --against HEAD~1", or --profile 50
	$(BIN)/python tests/benchmarks/bench_chain.py $(BENCH)

bench-watched: .venv/dev  ## What records, traces, webhooks, metrics and the page cost 200 calls: all on beside all off
	$(BIN)/python tests/benchmarks/bench_watched.py $(BENCH)

profile: .venv/dev  ## Where the time of 200 calls goes, as text and as a flame graph
	$(BIN)/python tests/benchmarks/bench.py --profile 200

bench-history: .venv/dev  ## Finds calls among a million in SQLite: ten minutes; BENCH="--calls 100000" for less
	PYTHONPATH=. $(BIN)/python tests/benchmarks/history.py $(BENCH)

bench-reload: .venv/dev  ## Checks 1,000 pipelines, and reloads them under calls
	$(BIN)/python tests/benchmarks/big_reload.py

bench-agreement: .venv/dev  ## What it costs that four workers agree on a reload, beside one process
	$(BIN)/python tests/benchmarks/bench_agreement.py $(BENCH)

bench-reading: .venv/dev  ## What the reading of a small file costs: a process that imports everything, and a fork
	$(BIN)/python tests/benchmarks/bench_reading.py $(BENCH)

bench-records: .venv/dev  ## 2,000 calls a second into SQLite and PostgreSQL; BENCH="--rate 500" for another rate
	$(BIN)/python tests/benchmarks/records.py $(BENCH)

fleet-simulation: .venv/dev  ## 50 engines and 20,000 calls on a virtual clock, against an etcd that misbehaves; BENCH="--seed 2" for another fate
	$(BIN)/python tests/benchmarks/fleet.py $(BENCH)

schema: .venv/local  ## Writes config/schema.json anew, after a change of options or settings
	$(BIN)/voicepipe schema > config/schema.json

clean:  ## Removes what the other targets made
	rm -rf .venv .venv-3.* .venv-pipecat .venv-livekit site demo-output build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
