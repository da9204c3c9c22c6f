"""Language identification of whole documents with fastText's lid.176."""
