"""Signals from outside of the detector, as they come: lines of a serial port, of ZeroMQ, LSL."""
