"""Blows at random moments, on the real thing: `make torture N=100 SEED=1`.

Each round begins with two running guests, lets kvmkeep do one deed (torture.deeds), and strikes at
a random moment of it (torture.blow). Usually the host's power goes; it is switched on again, and
nothing is touched until the units have recovered the guests. A third of the rounds cut the power
once more while the host recovers, or each as often as asked; then also in the deed that is asked
for again. The disks lose at each cut what was not flushed. With DEATHS=3, three processes die
instead: kvmkeep, libvirtd, virtlogd, NetworkManager or the guest's QEMU. With BACKUPS=1, the deeds
are those with backups (torture.backups).

Then the deed is asked for again until it is done, and what must hold (torture.oath) is compared
with other tools. The same seed, number and words repeat a round.
"""
