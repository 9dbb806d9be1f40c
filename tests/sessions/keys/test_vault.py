"""Auth keys at rest."""

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.errors import SettingsError, StateDamaged
from core.settings import load_settings
from sessions.foreign.credentials import Credentials
from sessions.keys.api_pairs import ApiPairs
from sessions.keys.vault import Vault

ANN = Credentials(dc_id=2, host="127.0.0.1", port=443, auth_key=bytes(range(256)))


def test_what_is_sealed_comes_back_and_the_key_is_nowhere_in_the_file(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path)
    sealed = vault.seal("ann", ANN)
    assert Vault.open(tmp_path).unseal("ann", sealed) == ANN
    assert ANN.auth_key[:32] not in sealed
    assert stat.S_IMODE((tmp_path / "vault.key").stat().st_mode) == 0o600


def test_swapped_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path)
    sealed = vault.seal("ann", ANN)
    damaged = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for name, content in (("ben", sealed), ("ann", damaged), ("ann", b""), ("ann", sealed[:20]), ("ann", b"x" * 99)):
        with pytest.raises(StateDamaged, match=f"session file of {name}"):
            vault.unseal(name, content)


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    sealed = Vault.open(tmp_path).seal("ann", ANN)
    with pytest.raises(StateDamaged, match="POSTFLEET_VAULT_KEY"):
        Vault.open(tmp_path, SecretStr("ab" * 32)).unseal("ann", sealed)


@pytest.mark.parametrize("key", ["short", "zz" * 32, "ab" * 31])
def test_a_vault_key_that_is_none_is_refused_without_showing_it(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match="POSTFLEET_VAULT_KEY") as refused:
        Vault.open(tmp_path, SecretStr(key))
    assert key not in str(refused.value)


def test_credentials_never_show_their_key() -> None:
    assert "auth_key" not in repr(ANN)


@pytest.mark.parametrize(
    "content", [b'{"pairs": {"7": {"reason": "n\xe9w"}}}', b"{", b'{"pairs": {"7": {"state": "open"}}}']
)
def test_a_damaged_file_of_api_pairs_is_named_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    pairs = ApiPairs(load_settings(state_dir=tmp_path), Vault.open(tmp_path))
    (tmp_path / "api_pairs.json").write_bytes(content)
    with pytest.raises(StateDamaged, match=r"api_pairs\.json cannot be understood"):
        pairs.every()
    assert (tmp_path / "api_pairs.json").read_bytes() == content
