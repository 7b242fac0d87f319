"""A hospital's DICOM network: other programs' worklists and archives. Needs pynetdicom (the extra
``hospital``); nothing else of the project does, and nothing is sent but to a configured peer."""
