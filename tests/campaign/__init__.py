"""Faults at random moments of real runs, injected from outside, and an independent checker."""
