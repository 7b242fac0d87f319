"""Images that a run keeps: what its folder says of them, read to be written in other formats."""
