"""StackExchange: the public dumps' posts, grouped to threads, one document a question."""
