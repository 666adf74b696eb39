from __future__ import annotations

from kvmkeep.planning.offline.kernel_console import bls_entry, boots_linux, grub_cfg, grub_default

CONSOLES = "console=tty0 console=ttyS0,115200n8"


def test_each_kernel_of_a_grub_cfg_gets_the_console_and_nothing_else_changes() -> None:
    text = (
        "menuentry 'Debian' {\n\tlinux\t/boot/vmlinuz root=UUID=1 ro console=ttyS1 quiet\n"
        "\tinitrd\t/boot/initrd\n}\n  linux16 /v ro\n  linuxefi /v\n# linux is nice\n"
    )
    assert grub_cfg(text) == (
        f"menuentry 'Debian' {{\n\tlinux\t/boot/vmlinuz root=UUID=1 ro quiet {CONSOLES}\n"
        f"\tinitrd\t/boot/initrd\n}}\n  linux16 /v ro {CONSOLES}\n  linuxefi /v {CONSOLES}\n"
        "# linux is nice\n"
    )
    assert grub_cfg(grub_cfg(text)) == grub_cfg(text)
    assert boots_linux(text)
    assert not boots_linux("blscfg\n")


def test_an_entry_keeps_its_variables() -> None:
    text = "title Rocky\noptions $kernelopts console=tty1\ngrub_users x\n"
    assert bls_entry(text) == f"title Rocky\noptions $kernelopts {CONSOLES}\ngrub_users x\n"


def test_the_source_of_the_next_grub_cfg() -> None:
    text = (
        "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT='quiet console=tty0'\nGRUB_CMDLINE_LINUX=\"\"\n"
    )
    changed = grub_default(text)
    assert changed == (
        f"GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT='quiet'\nGRUB_CMDLINE_LINUX=\"{CONSOLES}\"\n"
        'GRUB_TERMINAL="console serial"\n'
        'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"\n'
    )
    assert grub_default(changed) == changed
    assert grub_default("X=1").splitlines()[1] == f'GRUB_CMDLINE_LINUX="{CONSOLES}"'
