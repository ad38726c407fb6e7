"""The state directory: orders are obeyed or refused, guesses give way."""

import os
from pathlib import Path

import pytest

from watchtower.config import make_state_dir, state_dir
from watchtower.errors import ConfigError


@pytest.fixture
def service(tmp_path: Path) -> Path:
    path = tmp_path / "var" / "watchtower"
    path.mkdir(parents=True)
    return path


def locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user who may not write there; the superuser, who runs some test machines, always may."""
    real = os.access

    def access(tried: os.PathLike[str], mode: int) -> bool:
        return not Path(tried).is_relative_to(path) and real(tried, mode)

    monkeypatch.setattr(os, "access", access)


def test_the_option_comes_before_the_environment(tmp_path: Path, service: Path) -> None:
    environ = {"WATCHTOWER_STATE": str(tmp_path / "b"), "HOME": str(tmp_path)}
    assert state_dir(tmp_path / "a", environ, service) == tmp_path / "a"
    assert state_dir(None, environ, service) == tmp_path / "b"


def test_a_service_has_its_own_folder(tmp_path: Path, service: Path) -> None:
    assert state_dir(None, {"HOME": str(tmp_path)}, service) == service
    assert state_dir(None, {"HOME": str(tmp_path), "STATE_DIRECTORY": "/run/a:/run/b"}, service) == Path("/run/a")


def test_a_folder_that_cannot_be_written_gives_way_to_the_user_s_own(
    tmp_path: Path, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked(service, monkeypatch)
    home = {"HOME": str(tmp_path)}
    assert state_dir(None, home, service) == tmp_path / ".local" / "state" / "watchtower"
    xdg = {**home, "XDG_STATE_HOME": str(tmp_path / "xdg")}
    assert state_dir(None, xdg, service) == tmp_path / "xdg" / "watchtower"
    assert state_dir(None, {**home, "XDG_STATE_HOME": "relative"}, service).is_relative_to(tmp_path)


@pytest.mark.parametrize("how", ["option", "environment", "home"])
def test_where_nothing_can_be_written_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    locked(tmp_path, monkeypatch)
    environ = {"HOME": str(tmp_path), **({"WATCHTOWER_STATE": str(tmp_path / "x")} if how == "environment" else {})}
    with pytest.raises(ConfigError, match=r"cannot be written.*(--state|\$WATCHTOWER_STATE)"):
        state_dir(tmp_path / "x" if how == "option" else None, environ, tmp_path / "none")


def test_a_file_in_the_way_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        state_dir(tmp_path / "state", {})
    with pytest.raises(ConfigError, match="cannot be made"):
        make_state_dir(tmp_path / "state" / "inner")


def test_a_new_folder_is_for_this_user_only(tmp_path: Path) -> None:
    made = make_state_dir(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    (tmp_path / "old").mkdir(mode=0o755)
    assert make_state_dir(tmp_path / "old").stat().st_mode & 0o777 == 0o755
