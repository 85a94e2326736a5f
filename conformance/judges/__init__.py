"""The judges: each reads a record and says how far it is from one clause. One file a family of the specification."""
