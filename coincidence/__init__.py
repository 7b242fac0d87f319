"""Event records; time order, calibration, energy window, prompts and delayeds.

Pure kernels over arrays with small explicit state: no I/O, no clock, no thread. Whatever the
batching, the output is the same to the bit (docs/coincidence.md).
"""
