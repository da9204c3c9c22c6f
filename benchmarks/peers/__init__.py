"""The stages beside the same steps of datatrove and text-dedup, on the same input."""
