"""Changes of accounts: passwords, SSH keys, sudo."""

from __future__ import annotations

import re

from kvmkeep.model.fittings import Seen, bytes_of
from kvmkeep.model.tweak import Password, SshKeys
from kvmkeep.planning.offline.editing import Editing

SHADOW = "/etc/shadow"
SUDOERS = "/etc/sudoers"
SUDOERS_DIR = "/etc/sudoers.d"
# sshd may not read what has the type of a home (ssh_selinux(8)); this one it may, in the
# reference policy and in Fedora's.
_SSH_TYPE = "ssh_home_t"


def set_passwords(editing: Editing, passwords: tuple[Password, ...]) -> None:
    """Set passwords in shadow(5)."""
    if not passwords:
        return
    old = editing.seen(SHADOW)
    editing.label_of(SHADOW)
    text = old.text
    for one in passwords:
        found = re.compile(rf"^{re.escape(one.user)}:[^:\n]*", re.MULTILINE)
        if editing.account(one.user) is None or editing.draft:
            continue
        if found.search(text) is None:
            hint = "a password can be given to a local account only"
            editing.refuse(f"{SHADOW} in it has no user {one.user}", hint)
        # No hash in crypt(5) form has a backslash.
        text = found.sub(f"{one.user}:{one.hash}", text, count=1)
    if text:
        editing.put(SHADOW, bytes_of(text), old.mode, (old.uid, old.gid))


def add_keys(editing: Editing, wanted: SshKeys) -> None:
    """Add keys to a user's authorized_keys."""
    account = editing.account(wanted.user)
    if account is None:
        # As most have it: if it is so, one look is enough.
        guess = "/root" if wanted.user == "root" else f"/home/{wanted.user}"
        _places(editing, guess)
        return
    home, folder, old = _places(editing, account.home)
    if editing.draft:
        return
    if home.kind == "":
        editing.refuse(f"the user {wanted.user} has no home in it", "make it in the guest")
        return
    owner = (account.uid, account.gid)
    directory, path = folder.path, old.path
    if folder.kind not in {"", "directory"}:
        editing.refuse(f"{directory} in it is no directory", "look at it: kvmkeep shell")
        return
    if old.kind == "file" and old.content is None:
        editing.refuse(f"{path} in it is too large", "look at it: kvmkeep shell")
        return
    present = {tuple(line.split()[:2]) for line in old.text.splitlines()}
    missing = [key for key in wanted.keys if tuple(key.split()[:2]) not in present]
    if not missing:
        return
    if folder.kind == "":
        editing.directory(directory, _SSH_TYPE)
        editing.do("chmod 0700", directory)
        editing.do(f"chown {owner[0]} {owner[1]}", directory)
    # sshd(8) takes the first line that fits: one with a forced command, as cloud-init writes for
    # root, must not come before the same key without.
    content = "".join(f"{key}\n" for key in missing).encode() + (old.content or b"")
    editing.put(path, content, old.mode if old.kind else 0o600, owner)


def _places(editing: Editing, home: str) -> tuple[Seen, Seen, Seen]:
    """Return a home, its directory for SSH, and the keys in there."""
    bare = home.rstrip("/")
    if not home:
        return Seen(path=""), Seen(path=""), Seen(path="")
    editing.label_of(f"{bare}/.ssh/authorized_keys")
    return (
        editing.seen(home),
        editing.seen(f"{bare}/.ssh"),
        editing.seen(f"{bare}/.ssh/authorized_keys"),
    )


def allow_sudo(editing: Editing, user: str) -> None:
    """Let a user become root without a password."""
    account = editing.account(user)
    # sudoers(5), "@includedir": names with a dot are passed over.
    path = f"{SUDOERS_DIR}/kvmkeep-{re.sub(r'[^A-Za-z0-9_-]', '_', user)}"
    editing.label_of(path)
    reads = editing.seen(SUDOERS).text
    if not re.search(r"^[#@]includedir[ \t]+/etc/sudoers\.d/?[ \t]*$", reads, re.MULTILINE):
        if not editing.draft:
            hint = "install sudo in the guest, or change /etc/sudoers there"
            editing.refuse(f"no sudo in it reads {SUDOERS_DIR}", hint)
        return
    if account is not None:
        editing.put(path, f"{user} ALL=(ALL:ALL) NOPASSWD: ALL\n".encode(), 0o440)
