"""Third-party data as runs: importers of singles yield data frames, as if a scanner had sent them."""
