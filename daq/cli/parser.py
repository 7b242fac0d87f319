"""The parser of the command line: an error is told in a line, with where help is."""

from __future__ import annotations

import argparse
import difflib
from typing import NoReturn

FEW = 6


class Parser(argparse.ArgumentParser):
    """Says what is wrong and where the options are explained, instead of listing them all."""

    def shorten_usage(self) -> None:
        """If there are many options, name only the required ones in the usage."""
        needed = [action for action in self._actions if not action.option_strings]
        if len(self._actions) - len(needed) <= FEW:
            return
        formatter = self._get_formatter()
        words = [
            formatter._format_args(action, str(action.metavar or action.dest)) for action in needed
        ]
        self.usage = " ".join([self.prog, "[options]", *words])

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message}\nsee `{self.prog} --help`\n")

    def refuse(self, unknown: list[str]) -> NoReturn:
        """Exit with status 2 for unknown options, naming the most similar one."""
        name = unknown[0].partition("=")[0]
        known = {option.lower(): option for option in self._option_string_actions}
        alike = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f" (did you mean {known[alike[0]]}?)" if alike else ""
        self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
