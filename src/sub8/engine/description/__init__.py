"""What the native core runs, as data: the records of ``native/description/model.fbs``."""
