"""Text can be read, and lines can be told apart, in both palettes and by every eye."""

from __future__ import annotations

import ast
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gui.kit.palettes import DARK, PALETTES

ROOT = Path(__file__).resolve().parents[3]
TEXTS = ("TEXT", "DIM", "LAMP", "GOOD", "NOTICE", "WARNING", "ALARM")
LINES = ("SINGLES", "PROMPTS", "TRUES", "RANDOMS")

# Machado, Oliveira, Fernandes, IEEE TVCG 15 (2009) 1291, severity 1.0, on linear RGB
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
}  # fmt: skip


def linear(colour: str) -> npt.NDArray[np.float64]:
    """Return linear RGB, 0..1 (IEC 61966-2-1)."""
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return CIE L*a*b* under D65."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("palette", PALETTES)
def test_text_can_be_read(palette: str) -> None:
    colours = PALETTES[palette]
    for ground in ("PANEL", "RAISED", "BACKGROUND"):
        low = {n: contrast(colours[n], colours[ground]) for n in TEXTS}
        assert min(low.values()) >= 4.5, (ground, low)
    assert contrast(colours["FAINT"], colours["PANEL"]) >= 3.0
    assert contrast("#ffffff", colours["EMERGENCY"]) >= 4.5
    for name in LINES:
        assert contrast(colours[name], colours["PANEL"]) >= 3.0


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("eye", DEFICIENCIES)
def test_lines_can_be_told_apart(palette: str, eye: str) -> None:
    seen = {name: lab(DEFICIENCIES[eye] @ linear(PALETTES[palette][name])) for name in LINES}
    for one, other in combinations(LINES, 2):
        # 2.3 is just noticed; ten such steps are seen in a thin line
        assert np.linalg.norm(seen[one] - seen[other]) > 23, (one, other)


def test_no_colour_stands_in_two_roles_of_the_dark_palette() -> None:
    assert len(set(DARK.values())) == len(DARK)


def test_a_palette_has_all_roles() -> None:
    assert {frozenset(palette) for palette in PALETTES.values()} == {frozenset(DARK)}


def test_tables_of_colours_are_read_through_shade() -> None:
    """What is filled when the program starts would keep the dark colours."""
    bare = []
    for path in sorted((ROOT / "gui").rglob("*.py")):
        if path.name == "theme.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            defaults = [d for d in (*function.args.defaults, *function.args.kw_defaults) if d]
            for default in defaults:
                bare += [f"{path.name}:{n.lineno}" for n in ast.walk(default) if _colour(n)]
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == "gui.kit.theme":
                bare += [f"{path.name}:{node.lineno}" for name in node.names if name.name in DARK]
    assert not bare


def _colour(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in DARK
