"""The classifier of pages used as references in Wikipedia: its pages, its model, its scores."""
