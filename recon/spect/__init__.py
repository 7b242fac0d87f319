"""SPECT: images of single photons behind collimators, from projections or event by event."""
