"""Spec and Facts to a Plan; pure.

The file that plans a verb has its name and begins with "The plan of"; that of `apply` is plan.py.
Parts of a longer plan begin with the same word: backup_send.py, clone_copy.py, adopt_drift.py.
All others are about a thing, for several verbs: storage.py, domains.py, network.py, images.py.
scene.py is what planning looks at, guards.py what refuses a plan, and lvm.py, commands.py and
waiting.py hold commands that many steps are made of.
"""
