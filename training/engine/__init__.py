"""One step of adversarial training: updates, micro-batches, ranks, precision, EMA, prefetch."""
