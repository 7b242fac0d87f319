"""The host's side of the serial line to detector modules.

Only one program talks to a module; every wait is bounded; a command is done once, or an error says
why not; a module whose bytes this program would misread is refused; whatever the line loses or
damages is detected, counted and recorded. Only complete frames are passed on.

Parts: ``ports`` (open, find), ``packets`` (bytes to messages and frames), ``session`` (one module),
``poller`` (one thread for all modules), ``datagrams`` and ``ring`` (the other data paths),
``frame_books`` (what was lost), ``clock_fit``, ``link_statistics``, ``transcript``, ``update`` and
``scans``. docs/serial-link.md describes the whole.
"""
