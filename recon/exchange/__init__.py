"""Other programs' formats: images out, list mode out and in (docs/recon_exchange.md)."""
