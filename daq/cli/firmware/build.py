"""`tomoshibi firmware build`: both targets, with their sizes."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError, finish, make_folder, tell

if TYPE_CHECKING:
    from hw.machines.build import Image

IMAGE_SUFFIX = ".tmim"


def build_images(options: argparse.Namespace) -> int:
    """Build, copy if asked, and print the result."""
    if options.output is not None:
        make_folder(options.output)
    targets = ("native", "mps2") if options.target == "all" else (options.target,)
    result = {target: _build(target, options.output) for target in targets}
    finish(options, result, "\n".join(_words(target, made) for target, made in result.items()))
    return 0


def _build(target: str, output: Path | None) -> dict[str, Any]:
    from hw.machines.build import BuildError, build

    tell(f"building {target} …")
    try:
        image = build(target)  # type: ignore[arg-type]
    except BuildError as error:
        raise CommandError(str(error)) from error
    made: dict[str, Any] = {"build": f"{image.build_id:08x}", "program": str(image.path)}
    made["image_bytes"] = len(image.slot_image)
    made |= _sizes(target, image)
    if output is not None:
        made |= _copy(target, image, output)
    return made


def _sizes(target: str, image: Image) -> dict[str, int]:
    """Return code, memory and stack of the ARM image; of the native program its file's size."""
    if target != "mps2":
        return {"program_bytes": image.path.stat().st_size}
    from hw.machines.image_figures import image_figures

    figures = image_figures(image)
    return {
        "code_bytes": figures.code,
        "ram_bytes": figures.ram,
        "stack_bound_bytes": figures.stack,
        "stack_bytes": figures.stack_size,
    }


def _copy(target: str, image: Image, folder: Path) -> dict[str, str]:
    program, update = folder / image.path.name, folder / f"tomoshibi-{target}{IMAGE_SUFFIX}"
    shutil.copy2(image.path, program)
    update.write_bytes(image.slot_image)
    return {"program": str(program), "image": str(update)}


def _words(target: str, made: dict[str, Any]) -> str:
    sizes = [f"{name.removesuffix('_bytes').replace('_', ' ')} {value:,} bytes"
             for name, value in made.items() if name.endswith("_bytes")]  # fmt: skip
    lines = [f"{target}: build {made['build']}, {', '.join(sizes)}", f"  program {made['program']}"]
    if "image" in made:
        lines.append(f"  image for updates {made['image']}")
    return "\n".join(lines)
