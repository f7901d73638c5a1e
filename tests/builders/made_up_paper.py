"""A made-up paper's state whose hashes hold, as a registry publishes it."""

import base64
import hashlib
import json
from typing import Any

from sub8.record.canonical import canonical_bytes
from sub8.record.keys import PrivateKey
from sub8.record.state import state_sha256

TITLE = "Ternary Gemüse: A Study"
ALIAS_TIME = "2020-02-01T00:00:00Z"


def made_up_paper(source_id: str, registry: PrivateKey) -> dict[str, Any]:
    """The state of a paper with this arXiv id; ``registry`` signs its receipt."""
    record = {
        "metadata": {
            "submitted_at": "2020-01-31T10:28:37Z",
            "title_canon_sha256": hashlib.sha256(TITLE.lower().encode()).hexdigest(),
        },
        "schema_version": "1.0",
        "source": {"id": source_id, "kind": "arxiv", "version": 2},
    }
    digest = hashlib.sha256(canonical_bytes(record)).digest()
    suffix = base64.b32encode(digest).decode()[:26]
    aliases = {
        "arxiv": source_id,
        "arxiv_version": f"{source_id}v2",
        "doi": f"10.48550/arxiv.{source_id}",
        "pith_short_12": suffix[:12],
        "pith_short_16": suffix[:16],
        "pith_short_8": suffix[:8],
    }
    receipt = {
        "algorithm": "ed25519",
        "canonical_sha256": digest.hex(),
        "public_key_fingerprint": registry.public.fingerprint,
        "signature_b64": base64.b64encode(registry.sign(digest)).decode(),
        "signed_message": "canonical_sha256_bytes",
    }
    created = {
        "event_id": "sha256:" + "0" * 64,
        "payload": {
            "canonical_record": record,
            "canonical_sha256": digest.hex(),
            "receipt": receipt,
        },
    }
    snapshot = {
        "event_id": "sha256:" + "1" * 64,
        "payload": {"graph_snapshot": {"paper": {"title": TITLE}}},
    }
    sections = (
        "author_attestations",
        "timestamp_anchors",
        "storage_attestations",
        "citation_signatures",
        "replication_records",
        "corrections",
        "mirror_hints",
    )
    state: dict[str, Any] = {
        "state_type": "pith_open_graph_state",
        "state_version": "1.0",
        "pith_number": f"pith:2020:{suffix}",
        "merge_version": "pith-open-graph-merge-v1",
        "event_count": 2,
        "valid_event_count": 2,
        "invalid_event_count": 0,
        "equivocation_count": 0,
        "current": {
            "canonical_record": record,
            "source_aliases": [
                {"alias_kind": kind, "alias_value": value, "created_at": ALIAS_TIME}
                for kind, value in aliases.items()
            ],
            "graph_snapshots": [snapshot],
            **{section: [] for section in sections},
            "record_created": created,
        },
        "equivocations": [],
        "invalid_events": [],
        "applied_event_ids": [created["event_id"], snapshot["event_id"]],
    }
    state["state_sha256"] = state_sha256(state)
    copy: dict[str, Any] = json.loads(json.dumps(state))  # no part is shared
    return copy
