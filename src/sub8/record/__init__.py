"""Open-graph records: check a paper's record, merge signed events into it, sign replication
records.

Public: ``verify.verify_file``, ``merge.merge_files``, ``replicate.replicate_model`` and
``replicate_study``, ``keys.generate_key_files``. Formats: docs/record.md. Needs the extra
``records``."""
