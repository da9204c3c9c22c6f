"""Text and ids, and what lies between the corpus and a trainer: token shards and their order."""
