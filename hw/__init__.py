"""Facts about the instrument: scanner presets and geometry, nuclides, the wire protocol.

Every other room may import this one; it imports none of them.
"""
