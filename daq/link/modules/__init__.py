"""The link process: modules that run our firmware, seen from the acquisition as one source of data.

It holds every module's serial line (``daq.link.serial``), brings the modules up, runs and ends runs
with them, hands their frames on, keeps the books of what they made, and tells how they are. Only
``LinkService`` speaks with the daq; what waits for a module runs in threads of its own.
"""
