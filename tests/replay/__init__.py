"""Each moment of a deed at which the power can go, by the log of what was written to the disk.

`make torture` cuts the power of a whole host, at ten minutes a cut. Here the writes below the volume
group are logged once, with those to the directories of kvmkeep's and libvirt's state (dm-log-writes),
and are written again up to one moment after another: what a cut there would have left on the disk.
"""
