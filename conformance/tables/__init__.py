"""The rows of the table of experiments, by what they act out."""
