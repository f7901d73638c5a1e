"""Images, labels and arrays from files and memory (``datasets``), made into network inputs (``preprocess``)."""
