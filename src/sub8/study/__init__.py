"""The study: how cluster size and bits trade against accuracy, work, size and time."""
