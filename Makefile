# Aliases for those whose fingers type `make`. All of it is in dev.py, which also runs where there is no make.
PYTHON ?= python3

.PHONY: run serve test check journey bench schema compile

run serve test check journey bench schema compile:
	@$(PYTHON) dev.py $@
