"""``python -m gui``: the console."""

import sys

from gui.console import main

sys.exit(main())
