"""Acceptance by NEMA NU 2 and NU 4: each recipe of the standards, numbers in, figures out."""
