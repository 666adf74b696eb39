"""Spec and Facts to a Plan; pure.

plan.py is the plan of `apply`. Each package holds one thing's files; the file that plans a verb
has its name and begins with "The plan of":

    domains  disks  images  networks  first_boot   what `apply` makes and keeps as the spec says
    running                                        guests started, stopped, waited for, watched
    snapshots  backups  repositories  proofs       a guest's past, and how it comes back
    offline  clones  trash  adoption  units        the other verbs

scene.py is what planning looks at, guards.py, groups.py and programs.py what refuses a plan;
lvm.py, commands.py and aside.py hold commands that many steps are made of.
"""
