"""Right layers, batches and ratios: what the tests of the rounding bounds share."""
