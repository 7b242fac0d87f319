"""The words of the code: whoever calls a function with many arguments is told what they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("hw", "emulator", "coincidence", "daq", "recon", "gui")
MANY = 5
"""As many arguments do not explain themselves by their names alone."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(tree: ast.Module) -> Iterator[tuple[str, Function, str]]:
    """Yield name, node and docstring of public functions, methods and constructors."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node) or ""
        if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
            continue
        for inner in node.body:
            if not isinstance(inner, Function):
                continue
            words = ast.get_docstring(inner) or ""
            if inner.name == "__init__":
                yield node.name, inner, f"{ast.get_docstring(node) or ''}\n{words}"
            elif not inner.name.startswith("_"):
                yield f"{node.name}.{inner.name}", inner, words


def arguments_of(function: Function) -> list[str]:
    given = function.args
    named = [arg.arg for arg in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in named if name not in {"self", "cls"}]


def is_kernel(function: Function) -> bool:
    return any("kernel" in ast.unparse(one) for one in function.decorator_list)


def listed(docstring: str) -> list[str]:
    """Return the names that a docstring's section of parameters explains; [] without one."""
    section = re.search(r"^ *Parameters\n *-+\n(.*?)(?=\n\n|\Z)", docstring, re.S | re.M)
    heads = re.findall(r"^ *(\w+(?:, \w+)*) :", section[1] if section else "", re.M)
    return [name for head in heads for name in head.split(", ")]


def mentioned(docstring: str, names: list[str]) -> list[str]:
    """Return those names that a docstring says something of, in a list or in prose."""
    said = " ".join(
        [*re.findall(r"``?([^`]+)``?", docstring), *re.findall(r"([\w, ]+) :", docstring)]
    )
    return [name for name in names if re.search(rf"\b{name}\b", said)]


def unexplained(tree: ast.Module) -> list[str]:
    found = []
    for name, function, docstring in public_functions(tree):
        arguments = arguments_of(function)
        if len(arguments) < MANY:
            continue
        explained = mentioned(docstring, arguments) if is_kernel(function) else listed(docstring)
        if not explained:
            found.append(f"{name} explains none of its {len(arguments)} arguments")
        strange = set(explained) - set(arguments)
        found += [f"{name} explains {other}, which it does not take" for other in sorted(strange)]
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_function_with_many_arguments_explains_them(room: str) -> None:
    found = {
        str(path.relative_to(ROOT)): lacks
        for path in sorted((ROOT / room).rglob("*.py"))
        if (lacks := unexplained(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert found == {}


SIGNATURE = "def cut(start, end, lld, uld, *, mask):"


@pytest.mark.parametrize(
    "source",
    [
        f'{SIGNATURE}\n "Cut."',
        f'{SIGNATURE}\n """Cut.\n\n Raises\n ------\n ValueError\n  if mask : is odd"""',
        f'@kernel\n{SIGNATURE}\n "Cut."',
        f'class Knife:\n "Cuts."\n {SIGNATURE}\n  "Cut."',
        f'{SIGNATURE}\n """Cut.\n\n Parameters\n ----------\n cover : (n,) bool"""',
    ],
)
def test_what_lacks_is_found(source: str) -> None:
    assert unexplained(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        f'{SIGNATURE}\n """Cut.\n\n Parameters\n ----------\n lld, uld : keV\n"""',
        f'@kernel\n{SIGNATURE}\n "Cut from ``start`` to ``end``."',
        'class Knife:\n "Cuts."\n def _cut(self, a, b, c, d, e): ...',
        'def cut(start, end, lld, uld):\n "Cut."',
    ],
)
def test_what_explains_itself_passes(source: str) -> None:
    assert unexplained(ast.parse(source)) == []
