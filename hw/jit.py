"""The one way to compile a kernel: ``@kernel``, and ``@bare_kernel`` for small inner functions.

Import them from here, never ``numba.njit``: numba's own cache does not notice that a *callee* or a
*constant* was edited, ours does (``kernel_cache``).

A kernel that another one calls is compiled without a way in from Python: unpacking a record of
forty arrays from Python objects is more code than most kernels, and took a third of all compiling.
Called from Python later, it is compiled once more, with one. Nor does a literal argument make a
specialisation of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import entrypoints
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.core.types import IntegerLiteral

from hw.kernel_cache import KernelCache
from hw.private_place import cache_root as cache_root

# Other packages may extend numba, and are then loaded by every process that uses a kernel. Ours
# need none of them: awkward, which uproot brings (extra `lab`), took 40 MiB of each.
entrypoints._already_initialized = True

Record = Any
"""One record of a structured array inside a kernel."""

KERNELS: list[Any] = []
"""Every kernel whose module was imported."""


class Kernel(CPUDispatcher):
    """numba's dispatcher with our cache, and inner specialisations without a way in."""

    def __init__(
        self,
        py_func: Callable[..., Any],
        locals: dict[str, Any] | None = None,
        targetoptions: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(py_func, locals, targetoptions, **more)
        self._cache = KernelCache(self)
        self._inner_only: set[tuple[Any, ...]] = set()
        self._compiler._customize_flags = self._without_way_in
        KERNELS.append(self)

    def _without_way_in(self, flags: Any) -> Any:
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = self._cache.inner
        return flags

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Compile for a caller, which holds the compiler's lock.

        A whole number is a number, whether it stands there as a literal or not: numba would compile
        once more for each literal.
        """
        args = [a.literal_type if isinstance(a, IntegerLiteral) else a for a in args]
        before, self._cache.inner = self._cache.inner, True
        try:
            return super().get_call_template(args, kws)
        finally:
            self._cache.inner = before

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        """Compile for Python: what has no way in yet does not count."""
        with global_compiler_lock:
            for types in self._inner_only:
                self.overloads.pop(types, None)
            self._inner_only.clear()
            return super()._compile_for_args(*args, **kws)

    def add_overload(self, cres: Any) -> None:
        """Make a specialisation known: to Python only where it has a way in."""
        if self._cache.inner:
            types = tuple(cres.signature.args)
            self._inner_only.add(types)
            self.overloads[types] = cres
        else:
            super().add_overload(cres)


def _compiled(**options: Any) -> Callable[..., Any]:
    def decorate(function: Callable[..., Any]) -> Kernel:
        return Kernel(function, targetoptions={"nopython": True, "nogil": True, **options})

    return decorate


kernel: Callable[..., Any] = _compiled()
"""Decorate a module-level function: compiled on first call, releases the GIL, cached on disk."""

bare_kernel: Callable[..., Any] = _compiled(_nrt=False, forceinline=True, error_model="numpy")
"""Like ``kernel`` but compiled without numba's reference counting, and inlined into its callers.

For small functions that are handed many arrays, called hundreds of times an event: counting
references (locked instructions) on each call made the Monte Carlo 3.5 times slower and cost the
projector 100 ns a ray. Such kernels cannot allocate (``numpy.empty``, slices of unlike arrays).
Division by zero gives infinity, as in numpy, instead of a test at each division.
"""
