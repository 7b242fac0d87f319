"""Commands that keep what was recorded."""
