"""Quality measures of an image: resolution, contrast, noise, evenness, regions; a report."""
