"""A virtual scanner: phantoms, decay, photon transport, detector, digitizer, faults.

``emulator.process.service.run_emulator(EmulatorConfig(...))`` runs the process;
``emulator.engines.emulation`` makes the same frames without one. Each module states what its
physics leaves out.
"""
