"""The quick images that scatter is estimated from, live and offline alike."""

QUICK_ITERATIONS, QUICK_SUBSETS = 2, 8

PSF_FWHM_MM = 4.0
"""Resolution modelled: blurred edges would put too much scatter in the middle."""
