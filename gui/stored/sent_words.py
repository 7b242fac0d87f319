"""What of a run went to a hospital's archive, in words."""

from __future__ import annotations

from typing import Any

from gui.kit.words import tr


def sent_words(told: dict[str, Any]) -> tuple[str, bool]:
    """Return the words, and whether nothing has failed.

    told : by peer, as :func:`daq.folder.listing.sent_objects.sent_objects` has it of a run
    """
    words, good = [], True
    for peer, of_peer in told.items():
        parts = [f"✓ {of_peer['done']}"] if of_peer.get("done") else []
        for state, name in (("stored", tr("not committed to")), ("waiting", tr("waiting"))):
            if of_peer.get(state):
                parts.append(f"{of_peer[state]} {name}")
        if of_peer.get("failed"):
            good = False
            parts.append(tr("✗ {count} failed: {why}", count=of_peer["failed"], why=of_peer["why"]))
        words.append(tr("sent to {peer}: {parts}", peer=peer, parts=", ".join(parts)))
    return "; ".join(words), good
