"""The text of the clauses, one file a family."""
