"""Find the efficiencies of crystals, places in the block and module pairs from a known source.

Measure a uniform cylinder (or hollow cylinder, or box) centred in the scanner and give its size.
What geometry predicts for it is compared with the trues counted, prompts minus delayeds: crystal
efficiencies by maximum likelihood from fan sums, the block profile as their mean over the modules,
and a geometric factor for each kind of module pair. Correct for it by

    efficiency[a]·profile[a]·efficiency[b]·profile[b]·geometric[A, B]

Give the energy calibration with --calibration, or gains appear as efficiencies: the normalisation
is valid for the energy window, coincidence window and gains it was made with. `pair chi2` after the
fit well above 1 means that the source is not as described, or that scatter matters.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.calibrate.outcome import Outcome, one_run, status_figures
from daq.cli.common import CommandError, positive
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.calibration.normalisation_fit import NormalisationResult
    from daq.calibration.normalisation_source import NormalisationSource
    from daq.calibration.plots import Panel
    from daq.folder.calibration_set import CalibrationSet
    from hw.scanner.description import Scanner

EXAMPLES = """\
examples:
  tomoshibi calibrate normalisation RUN --radius-mm 100 --length-mm 150 --water \\
      --calibration today.npz --output norm.npz
  tomoshibi calibrate normalisation ROD --radius-mm 80 --inner-radius-mm 77 --length-mm 150 \\
      --output norm.npz                                            a rod turned about the axis
  tomoshibi calibrate normalisation RUN --source box --size-mm 200 3 150 --output norm.npz
"""

MOST_DOTS = 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the normalisation."""
    parser.add_argument("--source", choices=("cylinder", "box"), default="cylinder",
                        help="a cylinder along z, or a box (default: %(default)s)")  # fmt: skip
    parser.add_argument("--radius-mm", type=positive, metavar="R", help="of the cylinder")
    parser.add_argument("--length-mm", type=positive, metavar="L", help="of the cylinder")
    parser.add_argument("--inner-radius-mm", type=positive, default=0.0, metavar="R",
                        help="of a hollow cylinder")  # fmt: skip
    parser.add_argument("--size-mm", type=positive, nargs=3, metavar=("X", "Y", "Z"),
                        help="of the box")  # fmt: skip
    parser.add_argument("--position-mm", type=float, nargs=3, default=(0.0, 0.0, 0.0),
                        metavar=("X", "Y", "Z"), help="the source's centre")  # fmt: skip
    group = parser.add_mutually_exclusive_group()
    parser.add_argument("--no-geometric", action="store_true",
                        help="give all pairs of modules the same factor: where the blocks are as "
                             "modelled, the source's edges would only blur into it")  # fmt: skip
    group.add_argument("--water", action="store_true", help="the source's body is water")
    group.add_argument("--mu-per-mm", type=float, default=0.0, metavar="MU",
                       help="attenuation of the source's body at 511 keV")  # fmt: skip


def find(options: argparse.Namespace, folders: list[Path], base: CalibrationSet | None) -> Outcome:
    """Sum the coincidences and fit the components."""
    from daq.calibration.fan_sums import fan_sums_of_run
    from daq.calibration.normalisation_fit import calibrate_normalisation
    from daq.folder.run_folder import run_config
    from daq.path.pipeline import pairs_in_view

    source = _source(options)
    folder = one_run(folders, "normalisation")
    config = run_config(folder)
    scanner = config.scanner()
    progress = ProgressLine("coincidences")
    known = base.calibration() if base else None
    sums = fan_sums_of_run(folder, calibration=known, progress=progress)
    progress.done()
    allowed = pairs_in_view(scanner, config.settings.min_sector_difference)
    model = ProgressLine("source model")
    energies_keV = config.settings.lld_keV, config.settings.uld_keV
    found = calibrate_normalisation(
        sums, scanner, source, allowed=allowed, energies_keV=energies_keV, on_pass=model,
        with_geometric=not options.no_geometric,
    )  # fmt: skip
    model.done()
    return Outcome(
        {
            "efficiency": found.efficiency,
            "block_profile": found.block_profile,
            "geometric": found.geometric,
        },
        f"fan sums of a {_words(source)}",
        _figures(found, gains_known=base is not None),
        _panels(found, scanner),
        {"efficiency": found.status},
        _details(found, scanner, allowed),
    )


def _source(options: argparse.Namespace) -> NormalisationSource:
    from daq.calibration.normalisation_source import WATER_511_PER_MM, NormalisationSource

    mu = WATER_511_PER_MM if options.water else options.mu_per_mm
    place = tuple(options.position_mm)
    if options.source == "box":
        if options.size_mm is None:
            raise CommandError("a box needs its size: give --size-mm X Y Z")
        size = tuple(options.size_mm)
        return NormalisationSource(shape="box", size_mm=size, position_mm=place, mu_per_mm=mu)
    if options.radius_mm is None or options.length_mm is None:
        raise CommandError(
            "a normalisation needs the source's size: give --radius-mm and --length-mm"
        )
    return NormalisationSource(
        radius_mm=options.radius_mm,
        length_mm=options.length_mm,
        inner_radius_mm=options.inner_radius_mm,
        position_mm=place,
        mu_per_mm=mu,
    )


def _words(source: NormalisationSource) -> str:
    size = (
        "box of {:g} × {:g} × {:g} mm".format(*source.size_mm)
        if source.shape == "box"
        else f"cylinder of radius {source.inner_radius_mm:g} to {source.radius_mm:g} mm, "
        f"{source.length_mm:g} mm long"
    )
    return f"{size} at {source.position_mm} mm, {source.mu_per_mm:g}/mm"


def _figures(found: NormalisationResult, *, gains_known: bool) -> dict[str, Any]:
    import numpy as np

    from daq.calibration.normalisation_fit import DEAD_BELOW
    from daq.folder.calibration_set import Status

    fitted = found.status == Status.FITTED
    error = found.error[fitted & (found.efficiency > DEAD_BELOW)]
    factors = found.geometric[found.geometric_fitted]
    return {
        **status_figures(found.status),
        "dead": int((fitted & (found.efficiency <= DEAD_BELOW)).sum()),
        "trues": round(found.trues),
        "efficiency_spread": round(float(found.efficiency[fitted].std()), 4)
        if fitted.any()
        else None,
        "error_median_percent": round(float(np.median(error)) * 100, 3) if len(error) else None,
        "block_profile_least": round(float(found.block_profile.min()), 4),
        "block_profile_most": round(float(found.block_profile.max()), 4),
        "geometric_least": round(float(factors.min()), 4) if len(factors) else None,
        "geometric_most": round(float(factors.max()), 4) if len(factors) else None,
        "pair_chi2_without_geometric": _finite(found.pair_chi2_before),
        "pair_chi2": _finite(found.pair_chi2_after),
        "passes": found.passes,
        "gains_applied": gains_known,
    }


def _finite(value: float) -> float | None:
    import math

    return round(value, 2) if math.isfinite(value) else None


def _details(found: NormalisationResult, scanner: Scanner, allowed: Any) -> dict[str, Any]:
    import numpy as np

    from daq.calibration.module_pairs import pair_kinds

    kinds = pair_kinds(scanner, allowed)
    rows = []
    for kind in np.unique(kinds[kinds >= 0]):
        a, b = np.argwhere(kinds == kind)[0]
        rows.append(
            {
                "rings": [int(m) // scanner.ring.modules_per_ring for m in (a, b)],
                "modules": [int(a), int(b)],
                "factor": round(float(found.geometric[a, b]), 5),
                "fitted": bool(found.geometric_fitted[a, b]),
            }
        )
    profile = found.block_profile.reshape(scanner.module.n_v, scanner.module.n_u)
    return {"block_profile": profile.round(4).tolist(), "geometric": rows}


def _panels(found: NormalisationResult, scanner: Scanner) -> list[Panel]:
    import numpy as np

    from daq.calibration.plots import Panel, Picture, Points, histogram

    block = scanner.module
    shown = np.arange(0, scanner.n_crystals, max(1, scanner.n_crystals // MOST_DOTS))
    module = shown / scanner.crystals_per_module
    profile = found.block_profile.reshape(block.n_v, block.n_u)
    a, b = np.nonzero(np.triu(found.geometric_fitted, 1))
    apart = np.abs(a - b) % scanner.ring.modules_per_ring
    apart = np.minimum(apart, scanner.ring.modules_per_ring - apart)
    return [
        Panel("Crystal efficiencies", "relative efficiency",
              (histogram("crystals", found.efficiency, 0.0, 2.0),), "crystals"),
        Panel("Efficiency by module", "module", (Points("", module, found.efficiency[shown]),)),
        Panel(f"Block profile, {profile.min():.3f} to {profile.max():.3f}", "u, crystals",
              (Picture(profile),), "v"),
        Panel("Geometric factors", "sectors apart", (Points("", apart, found.geometric[a, b]),)),
    ]  # fmt: skip


KIND = CalibrationKind(
    name="normalisation",
    words="efficiency of crystals, blocks and module pairs, from a known source",
    teaches=__doc__,
    examples=EXAMPLES,
    order=5,
    add_arguments=add_arguments,
    find=find,
)
