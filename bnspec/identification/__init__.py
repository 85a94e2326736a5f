"""Which conventions a batch norm follows, found by probes and not by its name: what is tried, what came, what it means.

Nothing here judges. An answer is one of several candidates, the only one that gives what was seen; where two give the
same, or none does, that is said, with what it would take to tell.
"""
