"""How memvid does at up to a million chunks, beside what people would use instead: ``python -m benchmarks.million``."""
