"""Third-party data as runs: importers of singles yield data frames as a scanner sends them."""
