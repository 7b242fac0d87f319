"""Commands that judge: the emulator by what it should reproduce, a scanner by NEMA."""
