"""The acquisition service: links, raw log, run control, catalogue, telemetry, command line."""
