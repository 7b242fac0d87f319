"""The link process: modules with our firmware, presented to the acquisition as one data source.

It holds every module's serial line (``daq.link.serial``), brings the modules up, begins and ends
runs with them, passes their frames on, keeps the books of what they sent, and reports their states.
Only ``LinkService`` talks to the daq; whatever waits for a module runs in a thread of its own.
"""
