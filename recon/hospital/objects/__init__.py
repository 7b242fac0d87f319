"""DICOM objects about an image: its regions, what was measured in them, and parametric maps."""
