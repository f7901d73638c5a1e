"""Mutants of states, events and bundles: every change is found, and a valid event is one that its
signer made.
"""

import base64
import hashlib
import io
import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from judging import Done, Mutant, Verdict, command
from made_up_paper import made_up_paper
from mutations import NOTHING, changed_bytes, changed_value, dumped

from sub8.record.bundles import pack, read_items
from sub8.record.canonical import canonical_bytes
from sub8.record.events import EVENT_TYPES, EventReader, sign_event
from sub8.record.keys import PrivateKey
from sub8.record.merge import Merger
from sub8.record.state import from_entry, is_signed, state_sha256

# Parts that something other than the state's own hash protects, so that a change is found even with
# a new hash.
PROTECTED = (
    ("current", "canonical_record"),
    ("current", "record_created", "payload", "canonical_record"),
    ("current", "mirror_hints"),
    ("current", "corrections"),
    ("equivocations",),
)
SEALED_NAMES = frozenset(
    {"event_schema"}
)  # without it an entry is the registry's, protected by no signature
FOREIGN = "pith:2020:" + "A" * 26


def _key(number: int) -> PrivateKey:
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


class Records:
    def __init__(self) -> None:
        self.paper = made_up_paper("2001.01234", _key(1))
        subject = self.paper["pith_number"]

        def event(
            key: int, claim: int, figure: int = 0, kind: str = "mirror_hint", of: str = subject
        ) -> bytes:
            payload = {"claim": {"number": claim}, "figure": figure, "note": "Jé*\n\\"}
            return sign_event(kind, of, payload, "2026-01-31T10:28:37Z", _key(key)).data

        valid = [event(key, claim) for key in (2, 3) for claim in range(2)]
        valid.append(event(2, 5, kind="correction"))
        self.events = [*valid, event(2, 7, 0), event(2, 7, 1), event(3, 1, of=FOREIGN)]
        merger = Merger()
        merger.add_state(self.paper, "paper")
        merger.add_bundle(io.BytesIO(pack([*self.events, b"garbage"])))
        self.states = [self.paper, merger.result().state]

    def mutant(self, random: Random, without: frozenset[int] = NOTHING) -> Mutant:
        kind = random.choice(
            (
                "state bytes",
                "state",
                "sealed state",
                "event bytes",
                "event",
                "sealed event",
                "bundle",
                "bundle",
            )
        )
        state, event = random.choice(self.states), random.choice(self.events)
        match kind:
            case "state bytes":
                data = json.dumps(state, indent=random.choice((None, 1))).encode()
                return Mutant(kind, changed_bytes(data, random, without), (canonical_bytes(state),))
            case "state":
                return Mutant(kind, dumped(changed_value(state, random)), (canonical_bytes(state),))
            case "sealed state":
                return Mutant(
                    kind, dumped(self._sealed(random)), (canonical_bytes(self.states[1]),)
                )
            case "event bytes":
                return Mutant(kind, changed_bytes(event, random, without), (event,))
            case "event":
                return Mutant(kind, dumped(changed_value(json.loads(event), random)), (event,))
            case "sealed event":
                return Mutant(kind, self._forged(event, random), (event,))
            case _:
                chosen = random.choices(self.events, k=random.randrange(1, 6))
                return Mutant(kind, changed_bytes(pack(chosen), random, without))

    def _sealed(self, random: Random) -> Any:
        """The merged state with a protected part changed and the hash taken anew."""
        state = json.loads(canonical_bytes(self.states[1]))
        *path, last = random.choice(PROTECTED)
        parent = state
        for name in path:
            parent = parent[name]
        parent[last] = changed_value(parent[last], random, SEALED_NAMES)
        with suppress(ValueError):  # not JSON any more
            state["state_sha256"] = state_sha256(state)
        return state

    def _forged(self, event: bytes, random: Random) -> bytes:
        """The event with a change and an id that fits it; what cannot be made without the key is
        the signature.
        """
        fields = changed_value(json.loads(event), random)
        if not isinstance(fields, dict):
            return dumped(fields)
        body = {k: v for k, v in fields.items() if k not in ("event_id", "signature_b64")}
        fields["event_id"] = f"sha256:{hashlib.sha256(dumped(body)).hexdigest()}"
        if random.random() < 0.5:
            point = random.choice((bytes(32), b"\1" + bytes(31), random.randbytes(32)))
            fields["signature_b64"] = base64.b64encode(point + bytes(32)).decode()
        return dumped(fields)

    def judge(self, mutant: Mutant, folder: Path) -> Verdict:
        if "state" in mutant.kind:
            return self._judge_state(mutant, folder / "state.json")
        if "event" in mutant.kind:
            return self._judge_event(mutant)
        return self._judge_bundle(mutant, folder)

    def _judge_event(self, mutant: Mutant) -> Verdict:
        found = EventReader().read(mutant.data)
        if isinstance(found, str):
            same = mutant.data == mutant.facts[0]
            return Verdict("found", "the untouched event is refused" if same else None)
        changed = found.data != mutant.facts[0]
        return Verdict("untouched", "a changed event is valid" if changed else None)

    def _judge_state(self, mutant: Mutant, path: Path) -> Verdict:
        path.write_bytes(mutant.data)
        done = command("record", "verify", path)
        outcome = {0: "untouched", 1: "found", 2: "refused"}.get(done.code, "ended")
        return Verdict(outcome, done.problem() or self._problem_of_state(mutant, done))

    def _problem_of_state(self, mutant: Mutant, done: Done) -> str | None:
        for line in done.out.splitlines():
            if not line.startswith(("valid ", "invalid ", "not checkable ")):
                return f"no line of a check: {line!r}"
        try:
            same = canonical_bytes(json.loads(mutant.data)) == mutant.facts[0]
        except (ValueError, RecursionError):
            same = False
        if done.code == 1 and same:
            return "an untouched state is invalid"
        return "a changed state is valid" if done.code == 0 and not same else None

    def _judge_bundle(self, mutant: Mutant, folder: Path) -> Verdict:
        paper, bundle, output = (folder / name for name in ("paper.json", "bundle", "merged.json"))
        paper.write_bytes(canonical_bytes(self.paper))
        bundle.write_bytes(mutant.data)
        output.unlink(missing_ok=True)
        done = command("record", "merge", paper, bundle, "-o", output, "--json")
        if done.code == 2:
            written = "written although refused" if output.exists() else None
            return Verdict("refused", done.problem() or written)
        problem = done.problem() or self._problem_of_merged(mutant, done, output)
        return Verdict("merged", problem)

    def _problem_of_merged(self, mutant: Mutant, done: Done, output: Path) -> str | None:
        told = json.loads(done.out)
        items = {item.sha256 for item in read_items(io.BytesIO(mutant.data))}
        if told["applied"] + told["equivocating"] + sum(told["invalid"].values()) != len(items):
            return f"{len(items)} different items, but {told}"
        if command("record", "verify", output).code != 0:
            return "the merged state is invalid"
        merged = json.loads(output.read_bytes())
        made = [
            from_entry(entry, section, merged["pith_number"])
            for _, section in EVENT_TYPES.values()
            for entry in merged["current"][section]
            if is_signed(entry)
        ]
        made += [event for entry in merged["equivocations"] for event in entry["events"]]
        strangers = [event for event in made if canonical_bytes(event) not in self.events]
        return f"events that nobody signed: {strangers}" if strangers else None
