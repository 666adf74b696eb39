"""Power cuts at random moments, on the real thing: `make torture N=100 SEED=1`.

Each round begins with two running guests, lets kvmkeep do one deed (torture.deeds), cuts the
host's power at a random moment of it, switches it on again, and touches nothing until the units
have recovered the guests. Then the deed is asked for again until it is done, and what must hold
(torture.oath) is compared with other tools. A third of the rounds cut the power once more while
the host recovers, or each as often as asked; then also in the deed that is asked for again. The
disks lose at each cut what was not flushed. A round is told by its number, the seed and the number
of cuts: the same three repeat it.
"""
