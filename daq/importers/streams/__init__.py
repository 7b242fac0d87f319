"""Lists of single events as other people's electronics write them, read piece by piece.

Each reader yields arrays of ``EVENT``; what is broken in a file it counts by name in ``broken``.
"""
