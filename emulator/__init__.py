"""A scanner that is not there: phantoms, decay, photon transport, detector, digitizer, faults.

``emulator.process.service.run_emulator(EmulatorConfig(...))`` is the process;
``emulator.engines.emulation`` makes the same frames without any. What the physics leaves out is
said by the module that does it.
"""
