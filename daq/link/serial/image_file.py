"""What a person names as a firmware image: looked at before any of it is read."""

from __future__ import annotations

from pathlib import Path

from daq.link.serial.line_errors import ImageRefused
from hw.wire.control import IMAGE, STRUCTS

MOST_BYTES: int = IMAGE["max_bytes"] + STRUCTS["image"].itemsize


def check_image_file(path: Path) -> None:
    """Refuse what no image can be: a folder, a device, a file that is not there or too long.

    Raises
    ------
    ImageRefused
        with the reason; what is in the file is looked at by ``read_image``.
    """
    remedy = "give an image for updates (*.tmim), of `tomoshibi firmware build`"
    if not path.exists():
        raise ImageRefused(f"{path}: there is no such file; {remedy}")
    if not path.is_file():
        raise ImageRefused(f"{path}: a folder or device, no file; {remedy}")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ImageRefused(f"{path}: {size} bytes, an image has {MOST_BYTES} at most; {remedy}")
