"""Third-party data as runs: each importer yields data frames, as if a scanner had sent them."""
