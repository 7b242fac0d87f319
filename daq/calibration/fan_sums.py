"""Coincidences of a run summed by crystal and by module pair, the input of a normalisation.

The fan sum of a crystal is the number of coincidences it took part in. Together with the sums of
the module pairs it is all that the likelihood of the component model depends on, so nothing as
large as all LORs is ever held: 16 bytes per crystal and per module pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from coincidence.calibration import Calibration
from daq.folder import raw_log as rawlog
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig
from daq.path.pipeline import Pipeline
from hw.arrays import F8, Array
from hw.jit import kernel
from hw.messages.sort_settings import SortSettings
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry

Counts = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FanSums:
    """Prompts and delayeds by crystal, (n_crystals,) i8, and by module pair, (m, m) i8 symmetric.

    delayed_factor : delayeds per random expected (see docs/coincidence.md)
    """

    prompts: Counts
    delayeds: Counts
    pair_prompts: Counts
    pair_delayeds: Counts
    delayed_factor: int = 1

    @property
    def trues(self) -> F8:
        """Prompts minus the randoms estimated from delayeds, by crystal."""
        return np.asarray(self.prompts - self.delayeds / self.delayed_factor)

    @property
    def variance(self) -> F8:
        """Variance of ``trues``."""
        return np.asarray(self.prompts + self.delayeds / self.delayed_factor**2)

    @property
    def pair_trues(self) -> F8:
        """Prompts minus randoms, by module pair."""
        return np.asarray(self.pair_prompts - self.pair_delayeds / self.delayed_factor)

    @property
    def pair_variance(self) -> F8:
        """Variance of ``pair_trues``."""
        return np.asarray(self.pair_prompts + self.pair_delayeds / self.delayed_factor**2)


def empty_fan_sums(n_crystals: int, n_modules: int, *, delayed_factor: int = 1) -> FanSums:
    """Return sums that are all 0."""
    pairs = (n_modules, n_modules)
    return FanSums(
        prompts=np.zeros(n_crystals, np.int64),
        delayeds=np.zeros(n_crystals, np.int64),
        pair_prompts=np.zeros(pairs, np.int64),
        pair_delayeds=np.zeros(pairs, np.int64),
        delayed_factor=delayed_factor,
    )


@kernel
def add_pairs(records: Array, crystals_per_module: int, fans: Array, pairs: Array) -> None:
    """Add (n,) COINCIDENCE to the fan sums (n_crystals,) i8 and module pairs (m, m) i8."""
    for i in range(records.shape[0]):
        a = np.int64(records[i].crystal_a)
        b = np.int64(records[i].crystal_b)
        fans[a] += 1
        fans[b] += 1
        first, second = a // crystals_per_module, b // crystals_per_module
        pairs[first, second] += 1
        if first != second:
            pairs[second, first] += 1


def fan_sums_of_run(
    folder: Path,
    *,
    calibration: Calibration | None = None,
    progress: Progress | None = None,
) -> FanSums:
    """Sort a run's raw log with a calibration and return the fan sums; raises LogError.

    The run's own settings are used: a normalisation is valid for the energy window and coincidence
    window with which it was made. If they have no delayed window the preset's is used, because
    without one randoms would count as trues.
    """
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    config = msgspec.convert(reader.head["config"], RunConfig)
    scanner = config.scanner()
    settings = with_delayeds(config.settings, scanner)
    pipeline = Pipeline(
        scanner,
        build_geometry(scanner),
        settings,
        run_tag=reader.head["run_tag"],
        calibration=calibration,
        stall_ps=int(config.stall_s * 1e12),
        recorded=True,
    )
    sums = empty_fan_sums(
        scanner.n_crystals, scanner.n_modules, delayed_factor=settings.delayed_factor
    )
    total, done, each = (folder / rawlog.FILE_NAME).stat().st_size, 0, scanner.crystals_per_module

    def add(prompts: npt.NDArray[np.void], delayeds: npt.NDArray[np.void]) -> None:
        add_pairs(prompts, each, sums.prompts, sums.pair_prompts)
        add_pairs(delayeds, each, sums.delayeds, sums.pair_delayeds)

    for frames in reader:
        output = pipeline.process(frames)
        add(output.prompts, output.delayeds)
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)
    output = pipeline.finish()
    add(output.prompts, output.delayeds)
    return sums


def with_delayeds(settings: SortSettings, scanner: Scanner) -> SortSettings:
    """Return settings with a delayed window: their own, or else the preset's."""
    if settings.delay_ps:
        return settings
    delay_ps = max(scanner.acquisition.delay_ps, 3 * settings.window_ps)
    return msgspec.structs.replace(settings, delay_ps=delay_ps)
