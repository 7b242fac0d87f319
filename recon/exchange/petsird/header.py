"""The scanner description of a PETSIRD file, made from a preset (PETSIRD 0.12, ScannerInformation).

One type of module, replicated in the order and places of the preset's modules. Its detecting
elements are boxes: element = crystal in module · DOI bins + DOI bin, so that a detection bin is

    (global crystal · DOI bins + DOI bin) · energy bins + energy bin.

Events are stored with the larger bin first, which is crystal_b's; PETSIRD's TOF (t_first −
t_second)·c/2 is then tof_ps·c/2 of our record. PETSIRD has no time for each coincidence, only that
of its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry
from recon.core.tof import HALF_C_MM_PER_PS
from recon.exchange.images.patient_axes import orientation_codes
from recon.exchange.scan_facts import NO_DATE, NUCLIDE_CODES, ScanFacts

TOF_BIN_PS = 25
FULL_EFFICIENCIES = 128
"""Elements of a module up to which the table of pair efficiencies (all 1) is written out."""

NO_SINGLES, NO_TRIPLES, OTHER_POLICY = 0, 0, 4
COINCIDENCE_POLICY = {"discard": 1, "RemoveMultiples": 1, "all": 2, "TakeAllGoods": 2}
"""Our policies for multiples as PETSIRD's CoincidencePolicy; others are "other"."""

_LYSO = ((175, 71, 0.7145), (89, 39, 0.0403), (28, 14, 0.0637), (16, 8, 0.1815))
MATERIALS = {
    "LYSO": ("Lu1.8Y0.2SiO5:Ce", 7.1, _LYSO),
    "NaI": ("NaI:Tl", 3.667, ((23, 11, 0.1534), (127, 53, 0.8466))),
    "CZT": ("Cd0.9Zn0.1Te", 5.78, ((112, 48, 0.4298), (65, 30, 0.0278), (128, 52, 0.5424))),
}
"""Formula, g/cm³ and (mass number, atomic number, mass fraction) of the preset's materials."""


@dataclass(frozen=True)
class Binning:
    """How energies and time differences are cut into bins.

    energy_bins : number of equal bins from LLD to ULD; 1 keeps no energy
    tof_bins : number of equal bins from −window_ps to window_ps; odd, so that the middle one is
        that of no time difference, as STIR takes it to be
    """

    lld_keV: float
    uld_keV: float
    energy_bins: int
    window_ps: int
    tof_bins: int

    @classmethod
    def of(
        cls,
        scanner: Scanner,
        *,
        window_ps: int,
        lld_keV: float,
        uld_keV: float,
        energy_bins: int = 1,
        tof_bin_ps: int | None = None,
    ) -> Binning:
        """Return the bins of a run; without TOF a single one, the coincidence window itself.

        Parameters
        ----------
        window_ps : coincidence window, ± about 0
        lld_keV, uld_keV : energy window of the singles
        energy_bins : number of equal energy bins
        tof_bin_ps : most that a TOF bin is wide, 0 for no bins; default: ``TOF_BIN_PS`` if the
            scanner has TOF
        """
        if tof_bin_ps is None:
            tof_bin_ps = TOF_BIN_PS if scanner.acquisition.tof else 0
        bins = -(-2 * window_ps // tof_bin_ps) if tof_bin_ps else 1
        return cls(lld_keV, uld_keV, energy_bins, window_ps, bins | 1)

    @property
    def energy_width_dkeV(self) -> int:
        """Width of an energy bin in 0.1 keV."""
        return max(1, -(-round(10 * (self.uld_keV - self.lld_keV)) // self.energy_bins))

    @property
    def energy_edges_keV(self) -> npt.NDArray[np.float32]:
        """Edges of the energy bins."""
        steps = np.arange(self.energy_bins + 1)
        edges = self.lld_keV + steps * self.energy_width_dkeV / 10
        if self.energy_bins == 1:
            edges[-1] = self.uld_keV
        return edges.astype(np.float32)

    @property
    def tof_edges_mm(self) -> npt.NDArray[np.float32]:
        """Edges of the TOF bins, (t_first − t_second)·c/2."""
        edges_ps = self.window_ps * (2 * np.arange(self.tof_bins + 1) / self.tof_bins - 1)
        return (edges_ps * HALF_C_MM_PER_PS).astype(np.float32)

    def layout(self, doi_bins: int) -> npt.NDArray[np.int64]:
        """Return the numbers that the kernels of ``time_blocks`` need."""
        energy = (self.energy_bins, round(10 * self.lld_keV), self.energy_width_dkeV)
        tof = (-self.window_ps, 2 * self.window_ps, self.tof_bins)
        return np.array([doi_bins, *energy, *tof], dtype=np.int64)


def header_of(
    scanner: Scanner,
    geometry: Geometry,
    binning: Binning,
    facts: ScanFacts,
    *,
    policy: str = "all",
    delayeds: bool = True,
    efficiency: npt.NDArray[np.floating[Any]] | None = None,
) -> dict[str, Any]:
    """Return a file's header as the schema's record.

    Parameters
    ----------
    scanner : the preset that is described
    geometry : positions and directions of its modules, mm
    binning : how energies and time differences are cut into bins
    facts : of the scan: identity, subject's position, nuclide
    policy : what the sorter does with several singles in one window, as in the run's settings
    delayeds : whether the file holds delayed coincidences
    efficiency : (n_crystals,) relative efficiencies of the crystals; None for 1
    """
    module = scanner.module
    bins = module.doi_bins * binning.energy_bins
    of_crystal = np.ones(scanner.n_crystals) if efficiency is None else efficiency
    stored = COINCIDENCE_POLICY.get(policy, OTHER_POLICY)
    return {
        "scanner": {
            "modelName": scanner.title,
            "scannerGeometry": _geometry(scanner, geometry),
            "bulkMaterials": [_material(module.material)],
            "gantryAlignment": None,
            "collimatorType": "NONE",
            "tofBinEdges": [[{"edges": binning.tof_edges_mm}]],
            "tofResolution": [[scanner.response.ctr_fwhm_ps * HALF_C_MM_PER_PS]],
            "eventEnergyBinEdges": [{"edges": binning.energy_edges_keV}],
            "energyResolutionAt511": [scanner.response.energy_fwhm_511],
            "singlesHistogramLevel": 0,
            "moduleSinglesUnitIdxLUTs": [],
            "singlesHistogramEnergyBinEdges": [],
            "singleEventPolicy": NO_SINGLES,
            "promptEventPolicy": stored,
            "delayedEventPolicy": stored if delayeds else 0,
            "tripleEventPolicy": NO_TRIPLES,
            "quadrupleEventPolicy": NO_TRIPLES,
            "detectionEfficiencies": {
                "methodDescription": "relative crystal efficiencies" if efficiency is not None
                else "none: all efficiencies are 1",
                "calibrationFactor": 1.0,
                "detectionBinEfficiencies": [np.repeat(of_crystal, bins).astype(np.float32)],
                "modulePairSGIDLUT": [[_allowed_pairs(geometry)]],
                "modulePairEfficienciesVectors": [[[_unit_pairs(module.n_u * module.n_v * bins)]]],
            },
        },
        "exam": _exam(facts),
    }  # fmt: skip


def _geometry(scanner: Scanner, geometry: Geometry) -> dict[str, Any]:
    block = scanner.module
    size = np.array([block.pitch_u_mm, block.pitch_v_mm, block.thickness_mm / block.doi_bins])
    corner = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
    return {
        "replicatedModules": [
            {
                "object": {
                    "detectingElements": {
                        "object": {
                            "shape": {"corners": [{"c": one * size} for one in corner]},
                            "materialId": 1,
                        },
                        "transforms": [{"matrix": m} for m in _element_transforms(scanner)],
                    },
                    "nonDetectingElements": [],
                },
                "transforms": [{"matrix": m} for m in _module_transforms(geometry)],
            }
        ],
        "nonDetectingVolumes": None,
    }


def _element_transforms(scanner: Scanner) -> npt.NDArray[np.float32]:
    """Return where each element of a module lies in the module's axes u, v, w: (n, 3, 4)."""
    block = scanner.module
    u = (np.arange(block.n_u) - (block.n_u - 1) / 2) * block.pitch_u_mm
    v = (np.arange(block.n_v) - (block.n_v - 1) / 2) * block.pitch_v_mm
    w = np.arange(block.doi_bins) * (block.thickness_mm / block.doi_bins)
    places = np.stack(np.meshgrid(v, u, w, indexing="ij"), axis=-1).reshape(-1, 3)[:, [1, 0, 2]]
    made = np.zeros((len(places), 3, 4), np.float32)
    made[:, :, :3] = np.eye(3)
    made[:, :, 3] = places
    return made


def _module_transforms(geometry: Geometry) -> npt.NDArray[np.float32]:
    """Return each module's pose in the scanner: (m, 3, 4), columns u, v, w, centre."""
    made = np.zeros((len(geometry.module_axes), 3, 4), np.float32)
    made[:, :, :3] = geometry.module_axes.transpose(0, 2, 1)
    made[:, :, 3] = geometry.module_centre_mm
    return made


def _allowed_pairs(geometry: Geometry) -> list[list[int]]:
    """Return symmetry group 0 for module pairs that may coincide, else −1; lower triangle."""
    allowed = geometry.allowed_pairs
    return [[0 if allowed[i, j] else -1 for j in range(i + 1)] for i in range(len(allowed))]


def _unit_pairs(elements: int) -> dict[str, Any]:
    """Return pair efficiencies of 1, written out only if few: absent also means 1."""
    few = elements <= FULL_EFFICIENCIES
    return {"values": [np.ones(elements, np.float32)] * elements if few else [], "sgid": 0}


def _material(name: str) -> dict[str, Any]:
    formula, density, parts = MATERIALS[name]
    return {
        "id": 1,
        "name": f"{name} ({formula})",
        "density": density,
        "atoms": [{"massNumber": mass, "atomicNumber": number} for mass, number, _ in parts],
        "massFractions": [fraction for _, _, fraction in parts],
    }


def _exam(facts: ScanFacts) -> dict[str, Any]:
    start_ns = int(facts.created.timestamp() * 1e9) if facts.created != NO_DATE else 0
    return {
        "modality": "PT",
        "studyInstanceUID": facts.study_uid,
        "seriesInstanceUID": facts.uid("list mode"),
        "sopInstanceUID": facts.uid("list mode", "PETSIRD"),
        "frameOfReferenceUID": facts.frame_of_reference_uid,
        "startOfStudy": start_ns,
        "startOfAcquisition": start_ns if facts.created != NO_DATE else None,
        "patient": {
            "patientID": "RESEARCH", "patientsSex": "", "patientsSize": 0.0,
            "patientsWeight": facts.number("weight_kg") or 0.0, "patientsBodyMassIndex": 0.0,
        },
        "patientOrientation": _orientation(facts),
        "radiopharmaceuticals": _radiopharmaceuticals(facts, start_ns),
        "externalSignals": [],
    }  # fmt: skip


def _orientation(facts: ScanFacts) -> dict[str, Any]:
    """Return how the patient lay in codes, empty ones where that is not known."""
    codes = orientation_codes(facts.position)
    nothing = {**_code("", ""), "codingSchemeDesignator": ""}
    made = [_code(*code) for code in codes] if codes else [nothing] * 3
    names = ("Orientation", "OrientationModifier", "GantryRelationship")
    return {f"patient{name}CodeSequence": one for name, one in zip(names, made, strict=True)}


def _radiopharmaceuticals(facts: ScanFacts, start_ns: int) -> list[dict[str, Any]]:
    """Return the nuclide, if known and in the code table."""
    code = NUCLIDE_CODES.get(facts.nuclide.name) if facts.nuclide is not None else None
    if code is None:
        return []
    nothing = {**_code("", ""), "codingSchemeDesignator": ""}
    return [
        {
            "radiopharmaceuticalVolume": 0.0,
            "radiopharmaceuticalStartDateTime": start_ns,
            "radiopharmaceuticalStopDateTime": start_ns,
            "radionuclideTotalDose": (facts.number("administered_activity_Bq") or 0.0) * 1e-6,
            "radiopharmaceuticalAdministrationEventUID": "",
            "radiopharmaceuticalSpecificActivity": 0.0,
            "radiopharmaceuticalCodeSequence": nothing,
            "radionuclideCodeSequence": _code(*code),
        }
    ]


def header_nuclide(header: dict[str, Any]) -> str:
    """Return the nuclide of a header's SNOMED CT code, "" if none."""
    exam = header["exam"]
    for one in exam.get("radiopharmaceuticals", []) if exam else []:
        value = one["radionuclideCodeSequence"]["codeValue"]
        for name, (code, _) in NUCLIDE_CODES.items():
            if code == value:
                return name
    return ""


def _code(value: str, meaning: str) -> dict[str, str]:
    return {
        "codeValue": value, "codeValueURN": "", "codingSchemeDesignator": "SCT",
        "codingSchemeVersion": "", "codeMeaning": meaning,
    }  # fmt: skip
