"""How long a target takes beside torch.nn: `pytest conformance/benchmarks --bn TARGET`."""
