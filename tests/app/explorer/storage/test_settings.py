from pathlib import Path

import pytest

from app.document.scene import Scene
from app.explorer.storage.settings import Settings, SettingsStore, config_dir


def test_settings_round_trip(tmp_path: Path) -> None:
    store = SettingsStore(tmp_path / "config")
    assert store.load_settings() == (Settings(), None)
    assert store.prepare() is None
    settings = Settings(
        recents=("/a", "/b"),
        output_dir="/pictures 🏔",
        text_scale=1.25,
        theme="light",
        frame_limit=144,
        vsync=False,
        device="cuda:1",
        precision="bfloat16",
        walk_step=0.25,
        snap_seeds=True,
        past_prompts=("a sea",),
        word_lists={"sea": ("lake", "wood")},
    )
    assert store.save_settings(settings) is None
    assert store.load_settings() == (settings, None)


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SettingsStore(tmp_path / "file" / "config")
    problem = store.prepare()
    assert problem is not None
    assert "will not be kept" in problem
    assert store.load_settings() == (Settings(), None)
    assert store.save_scene(Scene()) is None


def test_recents_are_unique_newest_first_and_bounded() -> None:
    settings = Settings()
    for i in [*range(12), 5]:
        settings = settings.with_recent(Path(f"/m/{i}"))
    assert settings.recents[:3] == ("/m/5", "/m/11", "/m/10")
    assert len(settings.recents) == 8


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"recents": 5}',
        '{"recents": [5]}',
        '{"output_dir": ""}',
        '{"text_scale": "x"}',
        '{"text_scale": 99}',
        '{"theme": "blue"}',
        '{"theme": []}',
        '{"frame_limit": 0}',
        '{"frame_limit": 60.5}',
        '{"vsync": 1}',
        '{"device": "cuda:x"}',
        '{"device": 0}',
        '{"precision": "float8"}',
        '{"live": {"osc": {"port": 5}}}',
        '{"live": {"mappings": [{"source": {"kind": "eval", "name": "x"}, "control": "psi"}]}}',
        '{"walk_step": 0}',
        '{"walk_step": "x"}',
        '{"snap_seeds": 1}',
        '{"past_prompts": "a"}',
        '{"word_lists": ["a"]}',
        '{"word_lists": {"a": "b"}}',
        '{"word_lists": {"a": [1]}}',
    ],
)
def test_damaged_settings_give_defaults_and_a_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    settings, problem = SettingsStore(tmp_path).load_settings()
    assert settings == Settings()
    assert problem is not None
    assert "settings.json" in problem


def test_settings_of_another_version_keep_what_both_have(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"theme": "light", "from_the_future": 1}')
    assert SettingsStore(tmp_path).load_settings() == (Settings(theme="light"), None)


def test_a_scene_with_a_lone_surrogate_is_kept(tmp_path: Path) -> None:
    store = SettingsStore(tmp_path)
    assert store.save_scene(Scene(prompt="broken \ud800 key", psi=0.5)) is None
    scene, problem = store.load_scene()
    assert problem is None
    assert scene is not None
    assert scene.psi == 0.5


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLISSANDO_CONFIG_DIR", str(tmp_path))
    assert config_dir() == tmp_path
    monkeypatch.delenv("GLISSANDO_CONFIG_DIR")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert config_dir() == Path("/xdg/glissando")
