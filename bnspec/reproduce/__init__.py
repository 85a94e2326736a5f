"""From a failure to a script of literal values that shows it without bnspec: what was done is traced, then written."""
