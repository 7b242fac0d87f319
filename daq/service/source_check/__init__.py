"""Listening to a source instead of the daq: what is wrong with frames and messages, in words."""
