"""The kernel's console in the configuration of boot loaders: text in, text out.

Only the words `console=...` change. The last of them is /dev/console (the kernel's
Documentation/admin-guide/serial-console.rst), so the serial port comes last.
"""

from __future__ import annotations

import re

CONSOLES = ("console=tty0", "console=ttyS0,115200n8")

# GRUB's manual, "linux"; grub2-efi of EL 7 has linuxefi, its BIOS variant linux16.
_GRUB_LINUX = re.compile(r"^(?P<head>[ \t]*linux(?:16|efi)?[ \t]+\S+)(?P<words>.*)$", re.MULTILINE)
# The Boot Loader Specification, "Type #1"; systemd-boot and GRUB on EL 8 and later read it.
_BLS_OPTIONS = re.compile(r"^(?P<head>options)(?P<words>[ \t].*)$", re.MULTILINE)
_DEFAULT = re.compile(
    r"""^(?P<head>(?P<key>GRUB_CMDLINE_LINUX(?:_DEFAULT)?)=)(?P<quote>["'])(?P<words>[^"'\n]*)(?P=quote)""",
    re.MULTILINE,
)
_TERMINAL = {
    "GRUB_TERMINAL": "console serial",
    "GRUB_SERIAL_COMMAND": "serial --unit=0 --speed=115200",
}

CUSTOM_CFG = (
    "# Written by kvmkeep: GRUB's menu on the serial port too.\n"
    "serial --unit=0 --speed=115200\n"
    "terminal_input console serial\n"
    "terminal_output console serial\n"
)
"""`custom.cfg` beside grub.cfg, which 41_custom of grub-mkconfig(8) reads at each boot."""


def boots_linux(text: str) -> bool:
    """Whether a grub.cfg itself names a kernel."""
    return _GRUB_LINUX.search(text) is not None


def grub_cfg(text: str) -> str:
    """Return a grub.cfg whose kernels have the serial console."""
    return _GRUB_LINUX.sub(_with_consoles, text)


def bls_entry(text: str) -> str:
    """Return an entry of the Boot Loader Specification with the serial console."""
    return _BLS_OPTIONS.sub(_with_consoles, text)


def kernel_cmdline(text: str) -> str:
    """Return /etc/kernel/cmdline, from which kernel-install(8) makes new entries."""
    return _words(text).lstrip() + "\n"


def grub_default(text: str) -> str:
    """Return /etc/default/grub, from which grub-mkconfig(8) makes the next grub.cfg."""
    found: set[str] = set()

    def change(match: re.Match[str]) -> str:
        found.add(match["key"])
        quote = match["quote"]
        if match["key"] == "GRUB_CMDLINE_LINUX":
            words = _words(match["words"]).lstrip()
        else:
            words = " ".join(_others(match["words"]))
        return f"{match['head']}{quote}{words}{quote}"

    changed = _DEFAULT.sub(change, text)
    lines = [] if "GRUB_CMDLINE_LINUX" in found else [("GRUB_CMDLINE_LINUX", " ".join(CONSOLES))]
    lines += [(key, value) for key, value in _TERMINAL.items() if f"\n{key}=" not in f"\n{text}"]
    if not lines:
        return changed
    added = "".join(f'{key}="{value}"\n' for key, value in lines)
    return changed + ("" if changed.endswith("\n") or not changed else "\n") + added


def _with_consoles(match: re.Match[str]) -> str:
    return match["head"] + _words(match["words"])


def _words(text: str) -> str:
    return " " + " ".join((*_others(text), *CONSOLES))


def _others(text: str) -> list[str]:
    return [word for word in text.split() if not word.startswith("console=")]
