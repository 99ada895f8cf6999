"""How IAM refuses a policy that it does not understand."""

from beta9_simulator.cloud.rules import CloudError


def malformed(sentence: str) -> CloudError:
    """Return the refusal of a policy, in the words of IAM."""
    return CloudError("MalformedPolicyDocument", sentence)


def syntax(detail: str) -> CloudError:
    """Return the refusal for which IAM has one sentence only; ``detail`` is ours."""
    return malformed(f"Syntax errors in policy. ({detail})")
