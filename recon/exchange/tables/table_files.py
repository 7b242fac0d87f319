"""Tables in a file that other people's tools read, part by part: memory does not grow with them.

parquet : a file for each table (NAME.parquet has the events, NAME_crystals.parquet the crystals)
hdf5 : a group for each table, a dataset for each column, chunked and compressed
root : a TTree for each table

Each file is there whole or not at all. What is known of the run goes along as text: the file's
metadata in Parquet, attributes in HDF5, TObjString in ROOT. The packages are those of the extra
``lab``; without them the rest of the project works.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hw.whole_file import whole_file
from recon.exchange.errors import ExchangeError
from recon.exchange.tables.columns import Columns

EXTRA = "./tomoshibi setup lab"
HDF5_CHUNK = 1 << 16
"""Rows that HDF5 compresses together."""


class Tables(Protocol):
    """A file of tables that is being written."""

    paths: list[Path]

    def add(self, table: str, columns: Columns) -> None:
        """Append rows to a table; its columns are those of the first rows that it got."""


def package(name: str) -> Any:
    """Import a package of the extra; raises ExchangeError with what to do."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ExchangeError(f"{name.split('.')[0]} is missing: {EXTRA}") from error


class _Parquet:
    def __init__(
        self, path: Path, about: Mapping[str, str], main: str, stack: contextlib.ExitStack
    ) -> None:
        self._arrow, self._parquet = package("pyarrow"), package("pyarrow.parquet")
        self._path, self._about, self._main, self._stack = path, dict(about), main, stack
        self._writers: dict[str, Any] = {}
        self.paths: list[Path] = []

    def add(self, table: str, columns: Columns) -> None:
        made = self._arrow.table({name: np.ascontiguousarray(c) for name, c in columns.items()})
        if table not in self._writers:
            self._writers[table] = self._opened(table, made.schema)
        self._writers[table].write_table(made)

    def _opened(self, table: str, schema: Any) -> Any:
        path = self._path
        if table != self._main:
            path = path.with_name(f"{path.stem}_{table}{path.suffix}")
        self.paths.append(path)
        file = self._stack.enter_context(whole_file(path))
        schema = schema.with_metadata(self._about)
        writer = self._parquet.ParquetWriter(file, schema, compression="zstd")
        return self._stack.enter_context(contextlib.closing(writer))


class _Hdf5:
    def __init__(
        self, path: Path, about: Mapping[str, str], main: str, stack: contextlib.ExitStack
    ) -> None:
        self.paths = [path]
        h5py = package("h5py")
        part = stack.enter_context(whole_file(path)).name
        self._file = stack.enter_context(h5py.File(part, "w", locking=False))
        self._file.attrs.update(about)

    def add(self, table: str, columns: Columns) -> None:
        group = self._file.require_group(table)
        for name, values in columns.items():
            if name not in group:
                group.create_dataset(
                    name, (0,), values.dtype, maxshape=(None,), chunks=(HDF5_CHUNK,),
                    shuffle=True, compression="gzip", compression_opts=1,
                )  # fmt: skip
            column = group[name]
            before = len(column)
            column.resize((before + len(values),))
            column[before:] = values


class _Root:
    def __init__(
        self, path: Path, about: Mapping[str, str], main: str, stack: contextlib.ExitStack
    ) -> None:
        self.paths = [path]
        uproot = package("uproot")
        part = stack.enter_context(whole_file(path)).name
        self._file = stack.enter_context(uproot.recreate(part))
        for key, text in about.items():
            self._file[key] = text

    def add(self, table: str, columns: Columns) -> None:
        native = {name: np.ascontiguousarray(values) for name, values in columns.items()}
        if table not in self._file:
            self._file.mktree(table, {name: values.dtype for name, values in native.items()})
        self._file[table].extend(native)


_KINDS: dict[str, Callable[..., Tables]] = {"parquet": _Parquet, "hdf5": _Hdf5, "root": _Root}


@contextlib.contextmanager
def table_file(kind: str, path: Path, about: Mapping[str, str], *, main: str) -> Iterator[Tables]:
    """Open a file of tables.

    Parameters
    ----------
    kind : parquet, hdf5, root
    about : what is known of the run, as text
    main : the table that has the file's own name in Parquet

    Raises
    ------
    ExchangeError, FileWriteError
        if the kind's package is missing, or the disk refuses; nothing is left then.
    """
    with contextlib.ExitStack() as stack:
        yield _KINDS[kind](path, about, main, stack)
