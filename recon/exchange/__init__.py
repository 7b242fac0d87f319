"""Formats of other programs: images out, list mode in and out (docs/reconstruction/exchange.md)."""
