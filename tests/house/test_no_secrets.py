"""Nothing in the checkout looks like a credential that somebody could use."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Forms of issued credentials; tests hold made-up ones on purpose and are looked at for keys only.
KEY = re.compile(r"-----BEGIN (?:RSA |EC |OPENSSH |PGP )?PRIVATE KEY[ A-Z]*-----\s*[A-Za-z0-9+/=\s]{100,}")
ISSUED = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_\w{60,}|\bglpat-[\w-]{20}\b"
    r"|\bxox[abprs]-\d{6,}-[\w-]{10,}|\bAIza[\w-]{35}\b|\b[sr]k_live_[A-Za-z0-9]{20,}|\bsk-proj-[\w-]{40,}"
    r"|\bpnu_[A-Za-z0-9]{30,}|\bpat_[\w-]{43}\b|\bnpm_[A-Za-z0-9]{36}\b|\bhvs\.[\w-]{24,}"
)
MADE_UP = re.compile(r"EXAMPLE|example|0{6}|1234|abcdef|x{6}", re.IGNORECASE)


def texts() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, timeout=30
    ).stdout.decode()
    if not listed:
        pytest.skip("not a checkout")
    return [ROOT / name for name in listed.split("\0") if name and not name.endswith((".png", ".gz"))]


def test_no_file_holds_a_credential() -> None:
    found = []
    for path in texts():
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        is_test = path.is_relative_to(ROOT / "tests") or path.is_relative_to(ROOT / "benchmarks")
        seen = [*KEY.finditer(text), *([] if is_test else ISSUED.finditer(text))]
        real = [one[0][:12] for one in seen if not MADE_UP.search(one[0])]
        found += [f"{path.relative_to(ROOT)}: {begin}…" for begin in real]
    assert found == []


@pytest.mark.parametrize(
    "text", ["AKIA" + "QWERTZUIOPLKJHGF", "ghp_" + "aB3dE5gH7jK9mN1pQ3rS5tU7vW9xY1zA3bC5", "pat_" + "k" * 43]
)
def test_a_credential_would_be_found(text: str) -> None:
    assert ISSUED.search(f"token = '{text}'")
    assert not MADE_UP.search(text)
