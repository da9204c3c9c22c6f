"""Perplexity of documents under their language's model, and the buckets cut from it."""
