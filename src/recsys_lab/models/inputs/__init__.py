"""What a model knows of items and events besides their index: columns, texts, users and times."""
