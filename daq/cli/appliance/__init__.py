"""Tomoshibi as a service of a machine: units, versions side by side, what a bedside PC needs.

``places`` and ``settings`` say where everything lies and how the service was set up; ``unit_files``
and ``desk_files`` write texts, and touch nothing; ``installation`` puts them in place. ``versions``
and ``version_build`` hold and make the versions of the program, ``switching`` changes from one to
another, ``systemd`` and ``daq_asked`` speak to those concerned.
"""
