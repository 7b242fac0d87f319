"""Hostile bytes for every decoder: a minute of it as tests, a night of it as a command."""
