"""The console: a client of the daq's telemetry, images and commands, never in the data path.

It may import ``hw`` and the daq's client only. Qt is reached through ``pyqtgraph.Qt`` alone, and
bound to PySide6 (LGPL) even where another binding is installed.
"""

import os

os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")
