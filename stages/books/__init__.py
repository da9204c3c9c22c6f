"""Books: Project Gutenberg's mirrors and folders or archives of .txt and .epub."""
