"""Language models for perplexity: SentencePiece pieces under a 5-gram KenLM, the CCNet way."""
