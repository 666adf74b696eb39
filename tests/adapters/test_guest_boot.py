"""The boot loader's files of a Debian 12 guest, as grub-mkconfig(8) made them there."""

from __future__ import annotations

from difflib import ndiff

from adapters.replay import captured_files

from kvmkeep.planning.offline.kernel_console import CONSOLES, boots_linux, grub_cfg, grub_default

WORDS = " ".join(CONSOLES)


def files() -> tuple[str, str]:
    found = captured_files("grub-mkconfig", "guest")
    return found["/boot/grub/grub.cfg"].decode(), found["/etc/default/grub"].decode()


def differences(old: str, new: str) -> list[str]:
    """Return the lines that went and came."""
    lines = ndiff(old.splitlines(), new.splitlines())
    return [line for line in lines if line.startswith(("- ", "+ "))]


def test_each_kernel_of_the_menu_gets_the_serial_console_and_nothing_else_changes() -> None:
    menu, _ = files()
    assert boots_linux(menu)
    changed = grub_cfg(menu)
    lines = differences(menu, changed)
    went = [line[2:] for line in lines if line.startswith("- ")]
    came = [line[2:] for line in lines if line.startswith("+ ")]
    assert len(went) == len(came) == 3
    assert [line.split() for line in came] == [[*line.split(), *CONSOLES] for line in went]
    assert [line.split()[3:5] for line in came] == [
        ["ro", "quiet"], ["ro", "quiet"], ["ro", "single"],
    ]  # fmt: skip
    assert grub_cfg(changed) == changed


def test_what_the_next_menu_is_made_from_says_the_same() -> None:
    _, default = files()
    changed = grub_default(default)
    assert differences(default, changed) == [
        '- GRUB_CMDLINE_LINUX=""',
        f'+ GRUB_CMDLINE_LINUX="{WORDS}"',
        '+ GRUB_TERMINAL="console serial"',
        '+ GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"',
    ]
    assert grub_default(changed) == changed
