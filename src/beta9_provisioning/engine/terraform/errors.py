"""What a failed Terraform command means, for the person who has to act on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from beta9_provisioning.engine.errors import EngineError, Interrupted
from beta9_provisioning.engine.terraform.events import TerraformEvent
from beta9_provisioning.kit import certificates
from beta9_provisioning.kit.masking import quoted
from beta9_provisioning.kit.texts import TEXT_BYTES


@dataclass(frozen=True)
class Diagnostic:
    """An error that Terraform reported.

    Attributes:
        summary: what failed.
        detail: the provider's or Terraform's own words; may be empty.
        address: of the resource or provider concerned, if there is one.
        file: the configuration file it points into, if it does.
    """

    summary: str
    detail: str = ""
    address: str = ""
    file: str = ""

    def __str__(self) -> str:
        text = f"{self.summary}: {self.detail}" if self.detail else self.summary
        return f"{self.address}: {text}" if self.address else text


class TerraformFailed(EngineError):
    """A Terraform command failed.

    Attributes:
        code: `state_not_saved`, `state_newer`, `state_damaged`, `state_unavailable`, `provider_missing`,
            `cloud_unreachable`, `role_refused`, `credentials_refused`, `quota_exceeded`, `capacity_missing`,
            `zone_unsupported`, `addresses_exhausted`, `permission_missing`, `clock_skewed`,
            `certificate_untrusted`, `provider_refused`, `configuration_invalid`, `timeout`,
            `terraform_killed`, `answer_too_large`, or `terraform_failed` for everything else.
        diagnostics: the errors that Terraform reported, without secrets.
        errored_state: the file with the state that could not be saved, for `state_not_saved`.
    """

    code = "terraform_failed"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        detail: str = "",
        remedy: str = "",
        diagnostics: tuple[Diagnostic, ...] = (),
        errored_state: Path | None = None,
    ) -> None:
        super().__init__(message, detail=detail, remedy=remedy, code=code)
        self.diagnostics = diagnostics
        self.errored_state = errored_state


class TerraformKilled(TerraformFailed, Interrupted):
    """Terraform was ended by a signal that this program did not send, as the kernel's for want of memory."""


@dataclass(frozen=True)
class Rule:
    """Errors whose text matches `pattern` have this code.

    `sentence` says what happened where Terraform's own summary misleads; it may be empty. `sentence_of` makes
    one of the text that matched, where it depends on that.
    """

    code: str
    pattern: re.Pattern[str]
    remedy: str
    sentence: str = ""
    sentence_of: Callable[[str], str] | None = None


def rule(
    code: str,
    pattern: str,
    remedy: str,
    sentence: str = "",
    sentence_of: Callable[[str], str] | None = None,
) -> Rule:
    """Return a rule from a pattern's text."""
    return Rule(code, re.compile(pattern), remedy, sentence, sentence_of)


UNREACHABLE = "cloud_unreachable"
# The first rule that matches wins: these, then the cloud's own, then `_LAST_RULES`; within a rule, the first
# diagnostic. The texts are those of Terraform 1.11's commands, and Go's of connections.
_FIRST_RULES = (
    rule(
        "state_not_saved",
        r"Failed to (save|persist) state",
        "Keep the working directory. Push its errored.tfstate before anything else runs on this environment.",
    ),
    # Before what went wrong by it: no provider, no state, no role.
    rule(
        certificates.CODE,
        certificates.PATTERN,
        certificates.REMEDY,
        "a certificate was not accepted.",
    ),
    rule(
        "state_newer",
        r"state file uses format version \d+, which is\s+not\s+supported by|which is newer than current"
        r"|created by a newer provider version|managed by newer provider version",
        "Give the workers the Terraform and providers that wrote the state, or newer ones, then try again.",
        "the state was written by a newer Terraform or a newer provider than this worker has.",
    ),
    rule(
        "state_damaged",
        r"Unsupported state file format|could not be parsed as JSON|[Ii]nvalid [\w ]*in state( file)?"
        r"|state data in \w+ does not have the expected content",
        "Restore the state's last good version in the state bucket, which keeps versions, then try again.",
        "the state is damaged and cannot be read.",
    ),
    rule(
        "provider_missing",
        r"Failed to query available provider packages|Failed to install provider"
        r"|Required plugins are not installed|Inconsistent dependency lock file",
        "Check the provider mirror named in Terraform's CLI configuration file (TF_CLI_CONFIG_FILE).",
    ),
    # Before what was asked for: a connection that broke says nothing of it. One to a provider is no `tcp`.
    rule(
        UNREACHABLE,
        r"request send failed|dial tcp|connection refused|TLS handshake timeout|i/o timeout"
        r"|(?:read|write) tcp [\s\S]{1,200}?: "
        r"(?:\w+: )?(?:use of closed network connection|connection reset by peer|broken pipe)"
        r"|response error [\s\S]{1,300}? unexpected EOF",
        "Check that this service can reach the cloud's endpoints, then try again.",
    ),
)
STATE_REMEDY = "Check that the state bucket exists and can be reached."
_LAST_RULES = (
    rule(
        "state_unavailable",
        r"Error configuring the backend|Error (loading|refreshing|acquiring|releasing|retrieving).* state",
        STATE_REMEDY,
    ),
)

_PROVIDER_REFUSED = rule(
    "provider_refused",
    "",
    "Correct what the provider names, or wait if the fault is a passing one, then try again.",
)
_INVALID = rule("configuration_invalid", "", "This is a defect of the synthesized configuration: report it.")
_FAILED = rule("terraform_failed", "", "Correct what Terraform names, then try again.")

# A stop's consequences, not its cause.
_CONSEQUENCES = ("execution halted", "operation canceled")
DETAIL_DIAGNOSTICS = 10
# How an error begins in text; `state pull` puts the second one in no box.
_ERROR_LINES = ("Error: ", "Failed to refresh state: ")


def diagnostics(events: Iterable[TerraformEvent]) -> tuple[Diagnostic, ...]:
    """Return the distinct errors among `events`, in their order; warnings are left out."""
    found: dict[Diagnostic, None] = {}
    for event in events:
        body = event.data.get("diagnostic")
        if event.type == "diagnostic" and isinstance(body, dict) and body.get("severity") == "error":
            summary = str(body.get("summary") or event.message).strip()
            detail = str(body.get("detail") or "").strip()
            position = body.get("range")
            file = str(position.get("filename", "")) if isinstance(position, dict) else ""
            found[Diagnostic(summary, detail, event.address or "", file)] = None
    causes = [item for item in found if item.summary not in _CONSEQUENCES]
    return tuple(causes or found)


def diagnostic_in_text(text: str) -> Diagnostic | None:
    """Return the first error in the output of a command without `-json`, where it stands in a box."""
    lines = [line.strip("╷│╵ \t") for line in text.splitlines()]
    start = next((number for number, line in enumerate(lines) if line.startswith(_ERROR_LINES)), None)
    if start is None:
        return None
    detail = "\n".join(lines[start + 1 :]).strip()
    summary = lines[start].removeprefix("Error: ")
    return Diagnostic(quoted(summary), quoted(detail))


def failure(
    command: str,
    errors: tuple[Diagnostic, ...],
    text: str,
    returncode: int,
    cloud_rules: Sequence[Rule] = (),
) -> TerraformFailed:
    """Return the error for `terraform <command>`, which ended with `returncode`.

    `text` is the end of what it printed besides JSON. It says why when there are no diagnostics.
    `cloud_rules` know the errors of the cloud's provider and state backend.
    """
    if not errors and (found := diagnostic_in_text(text)):
        errors = (found,)
    if not errors:
        return TerraformFailed(
            f"terraform {command} ended with exit code {returncode} and gave no reason.",
            code="terraform_failed",
            detail=quoted(_end(text)),
            remedy="Read the end of Terraform's output.",
        )
    found_rule, cause = _classify(errors, cloud_rules)
    where = f" at {cause.address}" if cause.address else ""
    others = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    headline, _, _ = cause.summary.partition("\n")
    sentence = found_rule.sentence_of(str(cause)) if found_rule.sentence_of else found_rule.sentence
    return TerraformFailed(
        f"terraform {command} failed{where}: {sentence or headline}{others}",
        code=found_rule.code,
        detail="\n\n".join(
            str(item) for item in [cause, *(e for e in errors if e is not cause)][:DETAIL_DIAGNOSTICS]
        ),
        remedy=found_rule.remedy,
        diagnostics=errors,
    )


def _end(text: str) -> str:
    """Return the last lines of a text: where a tool says why it ended."""
    if len(text) <= TEXT_BYTES:
        return text
    return text[-TEXT_BYTES:].partition("\n")[2]


def _classify(errors: tuple[Diagnostic, ...], cloud_rules: Sequence[Rule]) -> tuple[Rule, Diagnostic]:
    for candidate in (*_FIRST_RULES, *cloud_rules, *_LAST_RULES):
        for error in errors:
            if candidate.pattern.search(f"{error.summary}\n{error.detail}"):
                return candidate, error
    at_resource = next((error for error in errors if error.address), None)
    if at_resource is not None:
        return _PROVIDER_REFUSED, at_resource
    return (_INVALID if errors[0].file else _FAILED), errors[0]
