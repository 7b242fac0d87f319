"""Commands about who may reach a system, and whom a run is about."""
