# Aliases for those whose fingers type `make`. All of it is in dev.py, which also runs where there is no make.
PYTHON ?= python3

.PHONY: run test check journey bench schema compile

run test check journey bench schema compile:
.PHONY: run serve test check journey schema compile

run serve test check journey schema compile:
	@$(PYTHON) dev.py $@
