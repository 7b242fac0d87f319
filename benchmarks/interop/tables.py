"""Tables of events and a BIDS dataset, as analysis programs and the validator take them."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from interop.phantom import ABOUT, FRAMES, GRID, image
from interop.row import Check, MissingProgramError, Row, module, version

from daq.cli import main as tomoshibi
from daq.folder.run_config import RunConfig, default_settings
from daq.importers.coincidence_run import write_coincidence_run
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from recon.exchange.images.bids_folder import write_bids
from rigs.exchange_data import made_records

SCANNER = load_scanner("bench2")
Read = Callable[[Path, str], np.ndarray]
"""Returns a column of the file's coincidences."""


def _pandas(path: Path, column: str) -> np.ndarray:
    return np.asarray(module("pandas").read_parquet(path, columns=[column])[column])


def _polars(path: Path, column: str) -> np.ndarray:
    return np.asarray(module("polars").read_parquet(path, columns=[column])[column].to_numpy())


def _h5py(path: Path, column: str) -> np.ndarray:
    with module("h5py").File(path) as file:
        return np.asarray(file["coincidences"][column][:])


def _uproot(path: Path, column: str) -> np.ndarray:
    with module("uproot").open(path) as file:
        return np.asarray(file["coincidences"][column].array(library="np"))


def _events(kind: str, name: str, package: str, read: Read, folder: Path) -> Row:
    module(package)
    module({"parquet": "pyarrow", "hdf5": "h5py", "root": "uproot"}[kind])
    prompts, delayeds = (made_records(SCANNER, n, 3.0, seed=n) for n in (20000, 3000))
    config = RunConfig(scanner_toml=scanner_to_toml_text("bench2"), name="made",
                       settings=default_settings(SCANNER))  # fmt: skip
    write_coincidence_run(config, folder, [(False, prompts), (True, delayeds)])
    path = folder / f"events.{kind}"
    command = ["export", str(folder / "made"), "--format", kind, "--output", str(path)]
    with contextlib.redirect_stdout(io.StringIO()):
        if tomoshibi(command):
            raise RuntimeError(f"{' '.join(command)} failed")
    delayed = read(path, "delayed").astype(bool)
    wrong = 0
    for records, mine in ((prompts, ~delayed), (delayeds, delayed)):
        for column in ("time_ps", "crystal_a", "crystal_b", "tof_ps", "doi_a", "doi_b"):
            wrong += int((read(path, column)[mine] != records[column]).sum())
    energy = read(path, "energy_a_keV")[~delayed]
    off_keV = float(np.abs(energy - prompts["energy_a"] / 10).max())
    try:
        program = version("polars-lts-cpu" if package == "polars" else package)
    except ImportError:
        program = version(package)
    return Row(
        f"Coincidences as {name}", program,
        f"{int((~delayed).sum())} prompts, {int(delayed.sum())} delayeds",
        f"{wrong} other values, energies {off_keV:.0e} keV", wrong == 0 and off_keV < 1e-3,
    )  # fmt: skip


def bids(folder: Path) -> Row:
    import shutil
    import subprocess

    program = shutil.which("bids-validator-deno")
    if program is None:
        raise MissingProgramError("pip install bids-validator-deno")
    write_bids(folder / "set", image(3), GRID, FRAMES, ABOUT)
    done = subprocess.run([program, "--json", str(folder / "set")], capture_output=True, text=True,
                          check=False, timeout=120)  # fmt: skip
    found = [one["severity"] for one in json.loads(done.stdout)["issues"]["issues"]]
    errors = found.count("error")
    return Row("BIDS dataset, PET, 3 time frames", version("bids-validator-deno"), "the dataset",
               f"{errors} errors, {len(found) - errors} recommendations", errors == 0)  # fmt: skip


CHECKS: dict[str, Check] = {
    "Parquet × pandas": partial(_events, "parquet", "Parquet", "pandas", _pandas),
    "Parquet × polars": partial(_events, "parquet", "Parquet", "polars", _polars),
    "HDF5 × h5py": partial(_events, "hdf5", "HDF5", "h5py", _h5py),
    "ROOT × uproot": partial(_events, "root", "ROOT's TTree", "uproot", _uproot),
    "BIDS × its validator": bids,
}
