"""Image quality measures: resolution, contrast, noise, uniformity and regions; and a report."""
