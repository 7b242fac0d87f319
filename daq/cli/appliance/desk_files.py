"""What a bedside PC needs beside the units, as text: command, menu entry, serial ports' rules."""

from __future__ import annotations

from daq.cli.appliance.places import NAME, Places
from daq.cli.appliance.settings import ServiceSettings

MADE_BY = "# Written by `tomoshibi service install`, which writes it anew."


def environment(settings: ServiceSettings, places: Places) -> str:
    """Return the environment variables of the service and of its user's commands.

    systemd and the shell both read it: each value is in double quotes, none holds $ or a backslash.
    """
    values = {
        "TOMOSHIBI_ENDPOINT": settings.base(places),
        "TOMOSHIBI_RUNS": str(settings.runs_folder(places)),
        "TOMOSHIBI_CACHE": str(places.cache),
        "XDG_CONFIG_HOME": str(places.state / "config"),
    }
    lines = [f'{name}="{value}"' for name, value in values.items()]
    return "\n".join([MADE_BY, *lines, ""])


def wrapper(settings: ServiceSettings, places: Places) -> str:
    """Return the command: the version in force, for the service's user with its environment.

    Other users only learn the address; what they may do there depends on their key.
    """
    return f"""\
#!/bin/sh
{MADE_BY}
if [ "$(id -un)" = "{settings.user}" ]; then
  set -a
  . "{places.environment}"
  set +a
fi
exec "{places.program}" "$@"
"""


def desktop_entry(places: Places) -> str:
    """Return the menu entry that opens the console."""
    return f"""\
[Desktop Entry]
Type=Application
Version=1.4
Name=Tomoshibi
GenericName=PET/SPECT acquisition
GenericName[ja]=PET/SPECT 収集
Comment=Open the live console of the scanner (research software)
Comment[ja]=スキャナのライブコンソールを開く（研究用ソフトウェア）
Exec={places.wrapper} console
Icon={NAME}
Terminal=false
Categories=Science;MedicalSoftware;
Keywords=PET;SPECT;scanner;acquisition;
StartupNotify=true
"""


def udev_rules(settings: ServiceSettings, group: str) -> str:
    """Return the rules of the modules' serial adapters, by the ids that the settings name.

    A port has a name that stays: ``/dev/tomoshibi/SERIAL`` where the adapter has a serial number,
    and by its socket, ``/dev/tomoshibi/by-path/PATH``. It is for the service's group alone, and
    ModemManager, which would write to it, lets it be.
    """
    lines = [MADE_BY]
    for pair in settings.usb:
        vendor, product = pair.split(":")
        usb = f'ATTR{{idVendor}}=="{vendor}", ATTR{{idProduct}}=="{product}"'
        port = f'ATTRS{{idVendor}}=="{vendor}", ATTRS{{idProduct}}=="{product}"'
        device, tty = 'SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device"', f'SUBSYSTEM=="tty", {port}'
        by_path = f'SYMLINK+="{NAME}/by-path/$env{{ID_PATH}}"'
        lines += [
            "",
            f'{device}, {usb}, ENV{{ID_MM_DEVICE_IGNORE}}="1"',
            f'{tty}, GROUP="{group}", MODE="0660", ENV{{ID_MM_PORT_IGNORE}}="1"',
            f'{tty}, ATTRS{{serial}}=="?*", SYMLINK+="{NAME}/$attr{{serial}}"',
            f'{tty}, ENV{{ID_PATH}}=="?*", {by_path}',
        ]
    return "\n".join([*lines, ""])
