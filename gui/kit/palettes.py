"""The console's colours by what they are for: dark, for a dim room, and light, for a bright one.

Text has a contrast of 4.5 and more on panels (WCAG 2.2, 1.4.3), faint text and lines 3 and more;
EMERGENCY is the face of what must be found at once, with white on it. The lines' colours keep apart
under the common colour-vision deficiencies (after Okabe and Ito).
"""

from __future__ import annotations

DARK = {
    "BACKGROUND": "#101318",
    "PANEL": "#181c23",
    "RAISED": "#232932",
    "LINE": "#2e3641",
    "TEXT": "#e9ecf1",
    "DIM": "#a3adbb",
    "FAINT": "#6f7a89",
    "LAMP": "#ffb454",
    "GOOD": "#5ccb93",
    "NOTICE": "#6cb4f5",
    "WARNING": "#f5c542",
    "ALARM": "#ff7a72",
    "EMERGENCY": "#b3201a",
    "LIVE_FILL": "#285a46",
    "SINGLES": "#56b4e9",
    "PROMPTS": "#f0b64c",
    "TRUES": "#3ecf9a",
    "RANDOMS": "#c9488f",
}
LIGHT = {
    "BACKGROUND": "#e6eaf0",
    "PANEL": "#fbfcfd",
    "RAISED": "#edf0f5",
    "LINE": "#cbd2dc",
    "TEXT": "#14181f",
    "DIM": "#4a5463",
    "FAINT": "#7a8494",
    "LAMP": "#985800",
    "GOOD": "#0e7547",
    "NOTICE": "#155fae",
    "WARNING": "#7d5a00",
    "ALARM": "#bd231a",
    "EMERGENCY": "#b3201b",
    "LIVE_FILL": "#b9e3cd",
    "SINGLES": "#0068a8",
    "PROMPTS": "#b36b00",
    "TRUES": "#008a5e",
    "RANDOMS": "#6d0a55",
}
PALETTES = {"dark": DARK, "light": LIGHT}
