"""What networks other than classifiers answer: boxes, masks, texts; and pictures of it."""
