"""The SPECT projector: counts that a camera is expected to have, and its exact adjoint.

    ȳ_v = E_v · q · Σ_planes B(b) · (survival · turned image)

after G. L. Zeng and G. T. Gullberg (IEEE Trans. Nucl. Sci. 39 (1992) 1235) and their successors:
the volume is rotated into the camera's frame, each plane is attenuated along the holes and blurred
according to its distance. Rotation is bilinear (voxel values are those of λ at the voxel centres),
the blur separable in u and z. E_v is the view's exposure, q the peak's counts per second and Bq
(:mod:`recon.spect.peaks`), so images are in Bq per voxel.

A gantry's head and a swivelling column are treated alike, except that a column's planes extend as
far to the sides as it can see. For back projection each thread has its own image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from hw.arrays import F4, F8
from hw.scanner.description import Scanner
from recon.core.grid import Image, ImageGrid
from recon.spect.collimator import CollimatorResponse
from recon.spect.matter import scale_mu
from recon.spect.peaks import Peak, SpectError
from recon.spect.response import REACH_SIGMA, BlurTables, blur_tables
from recon.spect.rotation_kernels import Turn, project, project_back, survival
from recon.spect.views import View

Ratio = Callable[[int, F4], F4]
"""Called with a view's number and its expected counts (n_u, n_v); returns what to project back."""

_FIELD_SLACK_MM = 4.0
"""Swivelling columns share tables where they stand alike to 0.5 mm before the axis and so many mm
beside it, which moves the blur by a few thousandths and the field's edge not at all."""

_NO_SURVIVAL = np.zeros((0, 0, 0), np.float32)


@dataclass(frozen=True)
class _Frame:
    """The samples of a view, and its tables."""

    turn: Turn
    tables: BlurTables
    lateral: int
    planes: int


class SpectProjector:
    """Projects images on ``grid`` for one photopeak.

    Parameters
    ----------
    scanner : the preset: its cameras and collimators
    grid : voxels of the images, centred on the scanner
    peak : provides response and sensitivity
    mu : µ at 511 keV on ``grid``, 1/mm; None leaves attenuation out
    collimator_response : whether to model the distance-dependent blur; without it rays are straight
        lines
    radius_mm : voxels further from the axis are outside the field and not seen; default: the space
        between the faces, or the grid
    threads : that share the views
    """

    def __init__(
        self,
        scanner: Scanner,
        grid: ImageGrid,
        peak: Peak,
        *,
        mu: Image | None = None,
        collimator_response: bool = True,
        radius_mm: float | None = None,
        threads: int = 1,
    ) -> None:
        if mu is not None:
            grid.check(mu, what="µ map")
        if not grid.centred:
            raise SpectError(f"a grid centred at {grid.centre_mm} mm: SPECT needs it centred")
        if not 1 <= threads <= 64:
            raise SpectError(f"threads = {threads}: must lie in 1..64")
        self.scanner, self.grid, self.peak = scanner, grid, peak
        self._mu = None if mu is None else scale_mu(mu, peak.energy_keV)
        self._response: CollimatorResponse | None = peak.response if collimator_response else None
        self._threads = threads
        self.radius_mm = radius_mm or field_radius_mm(scanner, grid)
        self._tables: dict[tuple[float, float, float], BlurTables] = {}
        self._set_samples()

    def _set_samples(self) -> None:
        """Choose planes and lateral samples, the same for all views."""
        grid, module = self.grid, self.scanner.module
        self._step_mm = min(grid.voxel_mm[:2])
        radius = self.radius_mm + max(grid.voxel_mm[:2])  # a voxel's neighbours share its value
        n = 2 * math.ceil(radius / self._step_mm) + 1
        self._depth_mm = _centred(n, self._step_mm)
        self._lateral_step_mm = module.pitch_u_mm / math.ceil(module.pitch_u_mm / self._step_mm)
        furthest = self.scanner.bore_mm + radius
        sigma = 0.0 if self._response is None else float(self._response.sigma_mm(furthest))
        reach = min(module.width_mm / 2 + REACH_SIGMA * sigma, 2 * radius + module.width_mm / 2)
        n = math.ceil(reach / self._lateral_step_mm)
        self._lateral_mm = _centred(2 * n, self._lateral_step_mm)
        if module.n_u % 2 and module.pitch_u_mm <= self._step_mm:
            self._lateral_mm = _centred(2 * n + 1, self._lateral_step_mm)

    def forward(self, image: Image, views: Sequence[View]) -> F4:
        """Return the expected counts (views, n_u, n_v) of an image in Bq per voxel."""
        self.grid.check(image)
        image = np.ascontiguousarray(image, np.float32)
        module = self.scanner.module
        out = np.empty((len(views), module.n_u, module.n_v), np.float32)

        def one(k: int) -> None:
            self._project(image, views[k], out[k])

        self._over(len(views), one)
        return out

    def back(self, values: F4, views: Sequence[View]) -> Image:
        """Return the adjoint of :meth:`forward` of values (views, n_u, n_v)."""
        return self.update(None, views, lambda k, expected: values[k])

    def update(self, image: Image | None, views: Sequence[View], ratio: Ratio) -> Image:
        """Return the back projection of ``ratio(view, expected counts)`` of all views.

        image : to compute the expected counts from; None if ``ratio`` needs none
        """
        lanes = min(self._threads, max(1, len(views)))
        sums = np.zeros((lanes, *self.grid.shape), np.float32)

        def lane(number: int) -> None:
            module = self.scanner.module
            expected = np.zeros((module.n_u, module.n_v), np.float32)
            for k in range(number, len(views), lanes):
                frame = self._frame(views[k])
                left = self._survival(frame)
                if image is not None:
                    self._project(image, views[k], expected, frame, left)
                values = np.ascontiguousarray(ratio(k, expected), np.float32)
                self._project_back(values, views[k], frame, left, sums[number])

        self._over(lanes, lane)
        return np.asarray(sums.sum(axis=0, dtype=np.float64), np.float32)

    def _over(self, count: int, work: Callable[[int], None]) -> None:
        if self._threads == 1 or count == 1:
            for k in range(count):
                work(k)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(work, range(count)))

    def _project(
        self, image: Image, view: View, out: F4, frame: _Frame | None = None,
        left: F4 | None = None,
    ) -> None:  # fmt: skip
        frame = frame or self._frame(view)
        left = self._survival(frame) if left is None else left
        t, flipped = frame.tables, np.empty(out.shape[::-1], np.float32)
        project(image, left, frame.turn, t.across, t.a_range, t.upward, t.v_range, t.reach,
                *self._scratch(frame), flipped)  # fmt: skip
        np.multiply(flipped.T, np.float32(self._scale(view)), out=out)

    def _project_back(self, values: F4, view: View, frame: _Frame, left: F4, image: Image) -> None:
        t, flipped = frame.tables, np.ascontiguousarray(values.T * np.float32(self._scale(view)))
        project_back(flipped, left, frame.turn, t.across, t.a_range, t.upward, t.v_range, t.reach,
                     *self._scratch(frame), image)  # fmt: skip

    def _scratch(self, frame: _Frame) -> tuple[F4, F4, F4]:
        nz, n_u = self.grid.shape[2], self.scanner.module.n_u
        shapes = (frame.lateral, nz), (n_u, nz), (nz, n_u)
        turned, plane, flipped = (np.empty(shape, np.float32) for shape in shapes)
        return turned, plane, flipped

    def _scale(self, view: View) -> float:
        """Return counts per Bq: exposure, sensitivity, and the samples' area over the voxels'."""
        area = self._lateral_step_mm * self._step_mm
        voxel = self.grid.voxel_mm[0] * self.grid.voxel_mm[1]
        return view.exposure_s * self.peak.counts_per_decay * area / voxel

    def _survival(self, frame: _Frame) -> F4:
        if self._mu is None:
            return _NO_SURVIVAL
        nz = self.grid.shape[2]
        left = np.empty((frame.planes, frame.lateral, nz), np.float32)
        row, path = np.empty(nz, np.float32), np.empty(nz, np.float32)
        survival(self._mu, frame.turn, self._step_mm, row, path, left)
        return left

    def _frame(self, view: View) -> _Frame:
        (ux, uy), (wx, wy) = view.u, view.w
        cx, cy, cz = view.centre_mm
        beside, out = cx * ux + cy * uy, cx * wx + cy * wy
        ox, oy, _ = self.grid.origin_mm
        hx, hy, _ = self.grid.voxel_mm
        a0, s0 = beside + self._lateral_mm[0], self._depth_mm[0]
        turn = Turn(
            (a0 * ux + s0 * wx - ox) / hx, self._lateral_step_mm * ux / hx, self._step_mm * wx / hx,
            (a0 * uy + s0 * wy - oy) / hy, self._lateral_step_mm * uy / hy, self._step_mm * wy / hy,
        )  # fmt: skip
        return _Frame(
            turn, self._tables_at(out, beside, cz), len(self._lateral_mm), len(self._depth_mm)
        )

    def _tables_at(self, out_mm: float, beside_mm: float, z_mm: float) -> BlurTables:
        """Return the tables of a camera whose crystals are ``out_mm`` from the axis and
        ``beside_mm`` to its side."""
        key = (round(out_mm * 2) / 2, round(beside_mm / _FIELD_SLACK_MM) * _FIELD_SLACK_MM, z_mm)
        if key not in self._tables:
            collimator, module = self.scanner.collimator, self.scanner.module
            assert collimator is not None
            face = key[0] - collimator.length_mm - collimator.gap_mm
            n_z, h_z = self.grid.shape[2], self.grid.voxel_mm[2]
            self._tables[key] = blur_tables(
                self._response,
                face - self._depth_mm,
                lateral_mm=self._lateral_mm,
                u_mm=_centred(module.n_u, module.pitch_u_mm),
                z_mm=_centred(n_z, h_z) - key[2],
                v_mm=_centred(module.n_v, module.pitch_v_mm),
                steps_mm=(self._lateral_step_mm, h_z),
                pitch_mm=(module.pitch_u_mm, module.pitch_v_mm),
                field_mm=self._field_mm(key[1]),
            )
        return self._tables[key]

    def _field_mm(self, beside_mm: float) -> F8:
        """Return each plane's lateral range within the field, from the camera's centre line."""
        radius = self.radius_mm + max(self.grid.voxel_mm[:2])
        half = np.sqrt(np.maximum(radius**2 - self._depth_mm**2, 0.0)) + _FIELD_SLACK_MM
        return np.stack([-half - beside_mm, half - beside_mm], axis=1)


def field_radius_mm(scanner: Scanner, grid: ImageGrid) -> float:
    """Return the radius that can hold activity: in front of the faces, and on the grid."""
    half = min(n * voxel / 2 for n, voxel in zip(grid.shape[:2], grid.voxel_mm[:2], strict=True))
    return min(scanner.bore_mm, half)


def _centred(count: int, pitch_mm: float) -> F8:
    return np.asarray((np.arange(count) - (count - 1) / 2) * pitch_mm, np.float64)
