# Two commands do all the set-up: `make demo` and `make test`.
# Both run as root on a fresh Debian 12 and install what they need with apt and pip.

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.ready

.PHONY: demo test check sweep lab-test long-test torture replay bench clean help

help:
	@echo "make demo    bring up the lab and watch a guest being made in it"
	@echo "make test    run all tests, the lab's included (under 60 minutes on 2 cores)"
	@echo "make check   lint, types, contracts and the fast tests only"
	@echo "make sweep   strike each action of each plan in each way (make test: each in a third of the ways)"
	@echo "make long-test    the lab's long ones: backups, proofs, adoption, dying daemons, more power cuts (5 hours more)"
	@echo "make torture strike at random moments, in N rounds (N=100 SEED=1 CUTS=4, or DEATHS=3, or PHASES=1; BACKUPS=1)"
	@echo "make replay  cut the power at N logged moments of each deed (N=20 SEED=1)"
	@echo "make bench   compare with what you would use instead"
	@echo "make clean   remove the virtual environment (the lab: python3 -m lab down)"

$(STAMP): pyproject.toml tools/setup
	tools/setup $(VENV)
	touch $@

demo: $(STAMP)
	$(PYTHON) -m demo

test: check lab-test

check: $(STAMP)
	tools/check $(VENV)

sweep: $(STAMP)
	KVMKEEP_SWEEP=whole $(PYTHON) -m pytest -n 2 tests/faults

# Each worker has a lab of its own, which takes one core; a module is never divided.
lab-test: $(STAMP)
	$(PYTHON) -m pytest tests/lab -n 2 --dist loadfile --no-loadscope-reorder -m "not long" -v

# Such as proofs, which read whole disks and boot a guest: minutes each where the lab is emulated.
long-test: $(STAMP)
	$(PYTHON) -m pytest tests/lab -m long -v

torture: $(STAMP)
	PYTHONPATH=tests/lab $(PYTHON) -m tests.torture --rounds $(or $(N),3) --first $(or $(FIRST),0) --seed $(or $(SEED),1) $(CUTS:%=--cuts %) $(DEATHS:%=--deaths %) $(if $(PHASES),--phases) $(if $(BACKUPS),--backups)

replay: $(STAMP)
	PYTHONPATH=tests/lab $(PYTHON) -m tests.replay --points $(or $(N),5) --seed $(or $(SEED),1)

bench: $(STAMP)
	$(PYTHON) -m bench

clean:
	rm -rf $(VENV)
