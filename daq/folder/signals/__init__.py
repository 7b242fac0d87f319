"""Signals from outside of the detector, as a run keeps them."""
