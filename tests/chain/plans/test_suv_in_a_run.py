"""What a live image needs to be shown in SUV: told by a real daq once the run is started."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from daq.client.client import ClientError
from daq.folder.run_folder import run_config
from hw.messages.codec import decode
from hw.messages.imager import RunBegin
from hw.messages.scan_protocol import ScanProtocol
from rigs.daq_in_thread import DaqInThread

pytestmark = pytest.mark.processes

HALF_LIFE_MIN = 109.77
"""Of F-18."""
FLUORINE = msgspec.to_builtins(
    ScanProtocol(name="short", version=1, modality="PET", nuclide="F-18")
)


def announced(socket: zmq.Socket[bytes], *, in_place_of: float | None = None) -> float:
    """Return the next factor that is announced, or the next other one."""
    while socket.poll(10_000):
        message = decode(socket.recv_multipart()[0])
        if isinstance(message, RunBegin) and message.suv_per_Bq_per_mL != in_place_of:
            return message.suv_per_Bq_per_mL
    raise AssertionError("nothing was announced")


def test_the_tracer_names_the_nuclide_where_nothing_else_does(daq: DaqInThread) -> None:
    folder = Path(daq.control.call("arm", study={"tracer": "FDG F-18"})["run"])
    assert run_config(folder).labels["nuclide"] == "F-18"
    daq.control.call("reset")
    again = Path(daq.control.call("arm")["run"])  # the next patient's tracer is not known
    assert "nuclide" not in run_config(again).labels
    daq.control.call("reset")
    with pytest.raises(ClientError, match="planned for F-18: change the tracer"):
        daq.control.call("arm", protocol=FLUORINE, study={"tracer": "PSMA Ga-68"})


@pytest.mark.parametrize("weight_kg", [70.0, None])
def test_the_factor_is_of_the_start_and_of_what_was_injected(
    daq: DaqInThread, source: Callable[..., Any], weight_kg: float | None
) -> None:
    modules = source(daq)
    imager = zmq.Context.instance().socket(zmq.PULL)
    imager.setsockopt(zmq.LINGER, 0)
    imager.connect(daq.endpoints.of("coincidences"))
    now = dt.datetime.now(dt.UTC)
    study = {"injected_MBq": 250.0, "injected_at": (now - dt.timedelta(hours=1)).isoformat()}
    study |= {"residual_MBq": 10.0, "residual_at": (now - dt.timedelta(minutes=50)).isoformat()}
    study |= {} if weight_kg is None else {"weight_kg": weight_kg}
    daq.control.call("arm", protocol=FLUORINE, study=study)
    assert announced(imager) == 0.0, "how old the activity will be at the start is not known yet"
    daq.control.call("start")
    modules.wait_for_start()
    if weight_kg is None:
        assert announced(imager) == 0.0
    else:
        rate_per_min = math.log(2) / HALF_LIFE_MIN
        syringe_MBq = 250.0 - 10.0 * math.exp(10 * rate_per_min)
        left_Bq = syringe_MBq * 1e6 * math.exp(-60 * rate_per_min)
        factor = announced(imager, in_place_of=0.0)
        # the run starts at most some seconds after `now`
        assert factor == pytest.approx(weight_kg * 1000 / left_Bq, rel=2e-3)
    modules.finish()
    imager.close()
