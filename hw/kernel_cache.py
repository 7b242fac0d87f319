"""Where machine code is cached, one file a specialisation, and the key that it is found by.

A kernel's key is what its machine code depends on, by value: its bytecode and options, the values
of the globals it reads, the same of every kernel it calls, and the versions of Python, numba,
llvmlite and numpy. So an edited kernel, or an edited constant, makes new keys for itself and for
its callers, and for nothing else; comments, line numbers, file times and the checkout's place do
not matter (docs/adr/0022). numba's own cache sees only the kernel's own file.

Processes that need the same specialisation at once compile it once: the others wait for its file.
"""

from __future__ import annotations

import contextlib
import dis
import fcntl
import functools
import hashlib
import os
import pickle
import platform
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import IO, Any

import llvmlite  # type: ignore[import-untyped]
import numba
import numpy as np
from numba.core import types as numba_types
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.runtime.nrt import rtsys
from numba.core.serialize import dumps

from hw.private_place import code_cache

types: Any = numba_types
FORMAT = 1
WAIT_S = 30.0
"""For another process that compiles the same: longer, and it is compiled here as well."""

UNUSED_DAYS = 30.0
_DAY_S = 86400.0
_OURS = ("hw", "emulator", "coincidence", "daq", "recon")
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), np.generic, np.dtype)


def kernel_folder() -> Path:
    """Return the folder of the machine code, which no other user may write to: it is unpickled."""
    return code_cache("kernels")


def versions() -> tuple[str, ...]:
    """Return the versions that machine code depends on."""
    return (platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__)


@functools.cache
def kernel_key(kernel: Any) -> str:
    """Return 32 hexadecimal digits that change with whatever a kernel's result depends on.

    Raises
    ------
    TypeError
        where a kernel reads a global of a kind whose value cannot be told
    """
    facts = (FORMAT, versions(), kernel.py_func.__module__, kernel.py_func.__qualname__)
    parts = [*map(repr, facts), *_of_kernel(kernel, ())]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _of_kernel(kernel: Any, callers: tuple[Any, ...]) -> Iterator[str]:
    if kernel.py_func in callers:
        yield "a caller of itself"
        return
    yield kernel.py_func.__module__  # what is kept names it, and imports it when it is read
    yield repr(sorted(kernel.targetoptions.items()))
    yield _digest(kernel.py_func, callers)


_DIGESTS: dict[Any, str] = {}


def _digest(function: FunctionType, callers: tuple[Any, ...]) -> str:
    """Return the hash of a function's bytecode and of the values it reads."""
    if function not in _DIGESTS:
        parts = "\0".join(_of_function(function, (*callers, function)))
        _DIGESTS[function] = hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()
    return _DIGESTS[function]


def _of_function(function: FunctionType, callers: tuple[Any, ...]) -> Iterator[str]:
    yield from _of_code(function.__code__, function.__doc__)
    yield from _of_value(function.__defaults__, callers)
    for cell in function.__closure__ or ():
        yield from _of_value(cell.cell_contents, callers)
    for name, module_attributes in sorted(_globals_read(function.__code__).items()):
        if name in function.__globals__:
            yield name
            yield from _of_value(function.__globals__[name], callers, module_attributes)


def _of_code(code: CodeType, doc: str | None = None) -> Iterator[str]:
    yield repr((code.co_name, code.co_flags, code.co_code, code.co_names, code.co_varnames,
                code.co_freevars, code.co_cellvars, code.co_argcount))  # fmt: skip
    for value in code.co_consts:
        if doc is None or value != doc:
            yield from _of_value(value, ())


def _globals_read(code: CodeType) -> dict[str, tuple[str, ...]]:
    """Return the names of globals that code reads, and all names, among them the attributes'."""
    found = {
        step.argval: code.co_names
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= _globals_read(inner)
    return found


def _of_value(
    value: Any, callers: tuple[Any, ...], attributes: Iterable[str] = ()
) -> Iterator[str]:
    yield type(value).__name__
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif isinstance(value, np.ndarray):
        yield repr((value.dtype, value.shape))
        yield hashlib.blake2b(np.ascontiguousarray(value).tobytes()).hexdigest()
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _of_value(part, callers)
    elif isinstance(value, frozenset | set):
        yield repr(sorted(map(repr, value)))
    elif isinstance(value, CodeType):
        yield from _of_code(value)
    elif hasattr(value, "py_func"):
        yield from _of_kernel(value, callers)
    elif hasattr(value, "_defn"):  # an intrinsic: what writes its instructions
        yield _digest(value._defn, callers)
    elif getattr(value, "__module__", None) is None or not _is_ours(value):
        yield getattr(value, "__module__", None) or ""
        yield getattr(value, "__qualname__", "") or getattr(value, "__name__", "") or repr(value)
    elif isinstance(value, ModuleType):
        for name in sorted({name for name in attributes if hasattr(value, name)}):
            yield name
            yield from _of_value(getattr(value, name), callers)
    elif isinstance(value, FunctionType):
        if value not in callers:
            yield _digest(value, callers)
    elif hasattr(value, "_fields"):
        yield repr((value.__module__, value.__qualname__, value._fields, value._field_defaults))
    else:
        raise TypeError(f"{value!r}: what a kernel reads of it cannot be told by value")


def _is_ours(value: Any) -> bool:
    name = value.__name__ if isinstance(value, ModuleType) else value.__module__
    return str(name).split(".")[0] in _OURS or isinstance(value, FunctionType)


def _of_type(argument: Any) -> str:
    """Return all that decides the machine code for an argument of this type."""
    if isinstance(argument, types.BaseNamedTuple):
        kind = argument.instance_class
        name = f"{kind.__module__}.{kind.__qualname__}"
        return f"{name}{kind._fields}{[_of_type(one) for one in argument.types]}"
    if isinstance(argument, types.BaseTuple):
        return f"({[_of_type(one) for one in argument]})"
    if isinstance(argument, types.Dispatcher):
        return kernel_key(argument.dispatcher)
    return str(argument)


class KernelCache(NullCache):
    """The cache of one kernel, with the interface that numba's dispatcher expects.

    inner : whether to look for code that Python cannot call; set before each look
    """

    def __init__(self, kernel: Any) -> None:
        self.inner = False
        self._kernel = kernel
        self._locks: dict[Path, IO[bytes]] = {}

    @property
    def cache_path(self) -> str:
        """Return the folder."""
        return str(kernel_folder())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the specialisation's compile result; None where it is to be compiled here.

        numba's registries, half a second of imports, are loaded only where something is compiled:
        of what numba sets up, machine code that was kept needs the reference counting alone.
        """
        rtsys.initialize(target_context)
        path = self._path(sig, target_context.codegen())
        if not path.exists():
            self._locks[path] = _locked(path)
        found = _read(path, target_context)
        if found is None:
            target_context.refresh()
        else:
            self._release(path)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compile result, whole or not at all."""
        path = self._path(sig, data.codegen)
        if not data.library.has_dynamic_globals:
            spare = path.with_suffix(f".{os.getpid()}")
            spare.write_bytes(dumps(data._reduce()))
            spare.replace(path)
        self._release(path)

    def _path(self, sig: Any, codegen: Any) -> Path:
        """Return the specialisation's file: ``MODULE.KERNEL-KEY-TYPES.nbc``."""
        arguments = sig.args if hasattr(sig, "args") else sig
        parts = [*map(_of_type, arguments), repr(codegen.magic_tuple()), str(self.inner)]
        specialisation = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
        return kernel_folder() / f"{file_stem(self._kernel)}-{specialisation}.nbc"

    def _release(self, path: Path) -> None:
        lock = self._locks.pop(path, None)
        if lock is not None:
            lock.close()
            path.with_suffix(".lock").unlink(missing_ok=True)


def file_stem(kernel: Any) -> str:
    """Return how the names of a kernel's files begin."""
    module = kernel.py_func.__module__
    return f"{module}.{kernel.py_func.__name__}-{kernel_key(kernel)[:16]}"


def _read(path: Path, target_context: Any) -> Any:
    """Return what a file holds; None if it is missing, torn, or needs modules that are gone."""
    try:
        content = path.read_bytes()
        if time.time() - path.stat().st_mtime > _DAY_S:
            os.utime(path)  # it is in use: see forget_unused
        return CompileResult._rebuild(target_context, *pickle.loads(content))
    except (OSError, EOFError, pickle.UnpicklingError, ImportError, AttributeError):
        return None


def _locked(path: Path) -> IO[bytes]:
    """Return the lock for compiling ``path`` once it is ours, or waiting for it has timed out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock").open("ab")
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and not path.exists():
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        time.sleep(0.01)
    return lock


def forget_unused() -> int:
    """Remove machine code that was not used for so long; return how many files."""
    gone = 0
    oldest = time.time() - UNUSED_DAYS * _DAY_S
    for path in kernel_folder().rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()
                gone += 1
    return gone
