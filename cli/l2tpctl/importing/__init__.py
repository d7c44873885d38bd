"""Other L2TP daemons' configuration as ours: `l2tpctl import`.

A reader takes a file apart into items, a key with its value each; a table per format says what becomes of each key; the draft collects what we
say, and beside it, as comments, what could not be said; `settle` takes out what our daemon would refuse; `render` writes it down.

It must never lose a key silently: each item of the input ends as a key of ours or as a comment with the reason. And it must never write what
our daemon would refuse, so converters check what they return as the daemon would. Pure throughout: files come in as texts.
"""

NAMES = ("xl2tpd", "prol2tpd", "openl2tpd", "kl2tpd", "ql2tpd", "accel-ppp")
"""What the formats are called; `formats` has the converters."""
