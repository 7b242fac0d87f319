"""Randoms, sensitivity and µ maps against the truth of emulated heads.

Its figures are in docs/reconstruction/attenuation.md.

    tomoshibi demo --headless --fast --preset tof_brain --phantom brain --duration 30 --truth
    tomoshibi truth RUN
    python benchmarks/recon_attenuation.py RUN [--images docs/images]

For a run of the emulated head with its own (exact) µ map: randoms by fan sums against the truth;
the cost of a sensitivity image and its updates; the head contour, and with time of flight MLAA
started from it, against the true µ: the error of ∫µ over lines through the head, and of the
reconstructed activity in the head. MLAA is also run on the true coincidences alone. With
``--images`` it draws the maps and images. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from daq.replay.truth_join import CLASSES
from recon.attenuation.head_contour import head_contour_mu
from recon.attenuation.mlaa import mlaa
from recon.core.grid import Image, ImageGrid
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import SensitivityRatio, geometric_sensitivity
from recon.em.sensitivity_lines import sampled_lines
from recon.lines.model import LineModel
from recon.lines.normalisation import LiveShare, Normalisation
from recon.lines.randoms import CrystalRandoms, fan_counts
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import reconstruct
from recon.offline.run_data import RunData
from recon.offline.run_reader import run_data
from recon.projector.operator import Projector
from recon.scatter import EnergyWindow, estimate_scatter

INSIDE_MM = 14.0  # deeper than scalp and skull
SHOWN_FWHM_MM = 6.0


@dataclass(frozen=True)
class Head:
    """A run of the head, with its truth."""

    data: RunData
    system: ReconSystem
    kinds: npt.NDArray[np.uint8]
    true_mu: Image
    randoms: CrystalRandoms
    threads: int

    @property
    def deep(self) -> npt.NDArray[np.bool_]:
        """Voxels below scalp and skull."""
        head = self.true_mu > 0.004
        return ndimage.distance_transform_edt(head, sampling=self.system.grid.voxel_mm) > INSIDE_MM


def load(folder: Path, threads: int) -> Head:
    """Read a run and its truth."""
    data = run_data(folder)
    system = data.system()
    if data.mu_map is None:
        raise SystemExit(f"{folder}: the run has no µ map")
    with np.load(folder / "truth.npz") as file:
        kinds = file["class"]
    fans = sum(fan_counts(part, data.scanner.n_crystals) for part in data.delayeds())
    randoms = CrystalRandoms.of_delayeds(
        fans,
        system,
        duration_s=data.duration_s,
        delayed_factor=data.delayed_factor,
        crystal_singles=data.crystal_singles,
    )
    return Head(data, system, kinds, data.mu_map, randoms, threads)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and its seconds."""
    start = time.perf_counter()
    return work(), round(time.perf_counter() - start, 2)


def of_randoms(head: Head) -> dict[str, float]:
    """Compare the expected randoms with the truth: in total, and for each crystal's fan."""
    chosen = head.kinds == CLASSES.index("random")
    n = head.data.scanner.n_crystals
    true_fan = fan_counts(np.concatenate(list(head.data.prompts()))[chosen], n)
    rate = head.randoms.lines
    modules = len(rate.module_pair)
    seen = rate.module_pair @ rate.crystal.reshape(modules, -1).sum(axis=1)
    fan = rate.crystal * np.repeat(seen, n // modules) * head.data.duration_s
    chi2 = float(((true_fan - fan) ** 2 / np.maximum(fan, 1e-9))[fan > 0].mean())
    total = head.randoms.total_per_s * head.data.duration_s
    return {
        "by_truth": int(chosen.sum()),
        "by_delayeds": round(total, 1),
        "sigma": round(float(np.sqrt(chosen.sum() + total / head.data.delayed_factor)), 1),
        "fan_chi2_per_crystal": round(chi2, 3),
        "own_share": round(head.randoms.own_share, 3),
    }


def of_sensitivity(head: Head) -> dict[str, float]:
    """Return seconds for a whole image, for a new µ map, and for a new normalisation."""
    n = head.data.scanner.n_crystals
    half = Normalisation.of_set(np.full(n, 0.7), [], [], head.data.scanner)
    _, geometric = timed(lambda: geometric_sensitivity(head.system, threads=head.threads))
    ratio, first = timed(lambda: SensitivityRatio(head.system, threads=head.threads))
    _, mu = timed(lambda: ratio.of([], head.true_mu))
    _, factors = timed(lambda: ratio.of([half], head.true_mu))
    return {
        "geometric_s": geometric,
        "lines_s": first,
        "new_mu_s": mu,
        "new_factors_s": factors,
    }


def image_of(head: Head, mu: Image | None, scatter: Literal["sss", "none"] = "sss") -> Image:
    """Reconstruct the run with a µ map, or without."""
    data = replace(head.data, mu_map=mu)
    options = ReconOptions(
        scatter=scatter if mu is not None else "none",
        attenuation="none" if mu is None else "map",
        decay=False,
        calibration=False,
        threads=head.threads,
    )
    return np.asarray(reconstruct(data, options).image)


def joint_mu(head: Head, start: Image, kinds: tuple[str, ...]) -> Image:
    """Return MLAA's µ from the prompts of these kinds, with the rates that they need."""
    prompts = np.concatenate(list(head.data.prompts()))
    chosen = np.isin(head.kinds, [CLASSES.index(kind) for kind in kinds])
    rates: list[Any] = [head.randoms] if "random" in kinds else []
    if "scattered" in kinds:
        data, system = head.data, head.system
        window = EnergyWindow.of(data.scanner, lld_keV=data.lld_keV, uld_keV=data.uld_keV)
        quick = image_of(head, start, "sss") * np.float32(system.voxel_volume_mL)
        rates.append(
            estimate_scatter(
                LineModel(system), quick, start, data.prompts(), duration_s=data.duration_s,
                window=window, randoms=head.randoms, threads=head.threads,
            )
        )  # fmt: skip
    live = head.data.pair_live_s
    factors = (
        [] if live is None else [LiveShare.of_pairs(live, head.data.detector_s, head.data.scanner)]
    )
    return mlaa(
        head.system, [prompts[chosen]], start, duration_s=head.data.duration_s,
        factors=factors, rates=rates, threads=head.threads,
    ).mu_per_mm  # fmt: skip


def mu_error(head: Head, mu: Image) -> dict[str, float]:
    """Return mean and sd of the error of ∫µ over lines through the head: of ln of the factors."""
    projector = Projector(head.system.grid, threads=head.threads)
    core = head.deep.astype(np.float32)
    error = []
    for lines in sampled_lines(head.system, samples=60_000):
        through = projector.forward(core, lines.lors) > 20
        found = projector.forward(mu, lines.lors) - projector.forward(head.true_mu, lines.lors)
        error.append(found[through])
    projector.close()
    both = np.concatenate(error)
    return {
        "lines_mean": round(float(both.mean()), 4),
        "lines_sd": round(float(both.std()), 4),
        "litres": round(float((mu > 0.004).sum()) * head.system.voxel_volume_mL / 1000, 3),
        "deep_mu_per_mm": round(float(mu[head.deep].mean()), 6),
    }


def image_error(head: Head, image: Image, truth: Image) -> dict[str, float]:
    """Return the activity's mean below the skull, and its spread over regions, over the truth."""
    deep = head.deep
    smooth = [ndimage.gaussian_filter(one, 4.0) for one in (image, truth)]
    share = smooth[0][deep] / np.maximum(smooth[1][deep], 1e-9)
    return {
        "mean": round(float(image[deep].mean() / truth[deep].mean()), 4),
        "regions_sd": round(float(share.std() / share.mean()), 4),
    }


def draw(
    maps: dict[str, Image], images: dict[str, Image], grid: ImageGrid, path: Path, title: str
) -> None:
    """Draw the middle slices of µ maps above those of the (smoothed) images made with them."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    middle = grid.shape[2] // 2
    columns = list(images)
    figure, axes = plt.subplots(2, len(columns), figsize=(2.3 * len(columns), 4.9), dpi=90)
    sigma = [SHOWN_FWHM_MM / 2.355 / size for size in grid.voxel_mm]
    images = {name: ndimage.gaussian_filter(image, sigma) for name, image in images.items()}
    for column, name in enumerate(columns):
        mu = maps.get(name)
        if mu is not None:
            axes[0, column].imshow(mu[:, :, middle].T * 10, vmin=0, vmax=0.17, cmap="gray",
                                   origin="lower")  # fmt: skip
        shown = images[name][:, :, middle]
        axes[1, column].imshow(shown.T, vmin=0, vmax=float(np.percentile(shown, 99.7)),
                               cmap="gray_r", origin="lower")  # fmt: skip
        axes[0, column].set_title(name, fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_frame_on(False)
    axes[0, 0].set_ylabel("µ, 0 to 0.17 per cm", fontsize=8)
    axes[1, 0].set_ylabel("activity, each to its own maximum", fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=Path, help="folder for the pictures")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    head = load(options.run, options.threads)
    report: dict[str, Any] = {"run": options.run.name, "prompts": len(head.kinds)}
    report["randoms"] = of_randoms(head)
    report["sensitivity"] = of_sensitivity(head)
    images = {"no correction": image_of(head, None, "none")}
    images["true map"] = image_of(head, head.true_mu, "sss")
    volume = np.float32(head.system.voxel_volume_mL)
    contour, report["contour_s"] = timed(
        lambda: head_contour_mu(images["no correction"] * volume, head.system.grid)
    )
    maps = {"true map": head.true_mu, "contour": contour}
    if head.system.tof is not None:
        everything = ("true", "scattered", "random")
        maps["MLAA"], report["mlaa_s"] = timed(lambda: joint_mu(head, contour, everything))
        report["mlaa_of_trues"] = mu_error(head, joint_mu(head, contour, ("true",)))
    for name, mu in maps.items():
        if name != "true map":
            images[name] = image_of(head, mu, "sss")
        report[name] = {"mu": mu_error(head, mu)}
    for name, image in images.items():
        report.setdefault(name, {})["activity"] = image_error(head, image, images["true map"])
    if options.images:
        path = options.images / f"recon_attenuation_{head.data.scanner.name}.png"
        title = f"{head.data.scanner.name}, {head.data.duration_s:.0f} s of a head"
        draw(maps, images, head.system.grid, path, title)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
