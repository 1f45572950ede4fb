"""Settings: option over environment over file over default, validated once, and mistakes are told with a remedy."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import pytest

from workqueue.engine.settings import NAMES, READERS, Settings, SettingsFile, suggestion
from workqueue.errors import BadSetting, StoreError
from workqueue.jobs.rejects import RejectLimit
from workqueue.jobs.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def settings(
    directory: Path, text: str = "", env: Mapping[str, str] | None = None, queue: str = "default", **options: Any
) -> Settings:
    if text:
        (directory / "fsq.toml").write_text(text)
    return SettingsFile(str(directory), options, env or {}).of(queue)


def test_the_defaults(tmp_path: Path) -> None:
    assert settings(tmp_path) == Settings(
        max_attempts=5,
        backoff=Backoff(15, 21600),
        timeout=None,
        keep_done=0,
        max_jobs=None,
        max_bytes=None,
        min_free=None,
        max_payload=64 << 20,
        tmp_age=129600,
        journal=2592000,
        keep_batches=604800,
        reject_limit=None,
    )


VALUES = {
    "max_attempts": ("3", 3),
    "backoff": ("1s..1m", Backoff(1, 60)),
    "timeout": ("2m", 120.0),
    "keep_done": ("1d", 86400.0),
    "max_jobs": ("100", 100),
    "max_bytes": ("2G", 2 << 30),
    "min_free": ("1M", 1 << 20),
    "max_payload": ("1K", 1024),
    "tmp_age": ("1h", 3600.0),
    "journal": ("7d", 604800.0),
    "keep_batches": ("30d", 2592000.0),
    "reject_limit": ("1%", RejectLimit(1, is_share=True)),
}


def test_every_setting_is_tried_here_and_can_be_read() -> None:
    assert set(VALUES) == set(NAMES) == set(READERS)


@pytest.mark.parametrize("name", VALUES)
def test_each_can_be_given_everywhere(name: str, tmp_path: Path) -> None:
    text, value = VALUES[name]
    assert getattr(settings(tmp_path, **dict[str, Any]({name: text})), name) == value
    assert getattr(settings(tmp_path, env={f"FSQ_{name.upper()}": text}), name) == value
    assert getattr(settings(tmp_path, f'{name} = "{text}"'), name) == value
    assert getattr(settings(tmp_path, f'[queues.default]\n{name} = "{text}"'), name) == value


def test_an_option_beats_the_environment_beats_the_queue_beats_the_file(tmp_path: Path) -> None:
    text = "max_attempts = 1\n[queues.load]\nmax_attempts = 2"
    env = {"FSQ_MAX_ATTEMPTS": "3"}
    assert settings(tmp_path, text).max_attempts == 1
    assert settings(tmp_path, queue="load").max_attempts == 2
    assert settings(tmp_path, env=env, queue="load").max_attempts == 3
    assert settings(tmp_path, env=env, queue="load", max_attempts=4).max_attempts == 4


def test_an_option_that_is_none_was_not_given(tmp_path: Path) -> None:
    assert settings(tmp_path, "max_attempts = 2", max_attempts=None).max_attempts == 2


def test_an_empty_variable_was_not_given(tmp_path: Path) -> None:
    assert settings(tmp_path, env={"FSQ_MAX_ATTEMPTS": ""}).max_attempts == 5


def test_the_environment_of_the_process_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSQ_MAX_ATTEMPTS", "9")
    assert SettingsFile(str(tmp_path), {}).of("default").max_attempts == 9


def test_they_are_frozen(tmp_path: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings(tmp_path).max_attempts = 3  # type: ignore[misc]


def test_they_are_read_once(tmp_path: Path) -> None:
    file = SettingsFile(str(tmp_path), {}, {})
    assert file.of("default") is file.of("default")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_attemps = 3", "fsq.toml: no setting is called 'max_attemps'; did you mean 'max_attempts'?"),
        ("keep = 3", "did you mean 'keep_done'"),
        ("zzz = 3", "no setting is called 'zzz'; there is max_attempts, backoff"),
        ("[queues.load]\nTimeout = 3", "fsq.toml: queues.load: no setting is called 'Timeout'; did you mean 'timeout'"),
        ("max_attempts = 0", "fsq.toml: max_attempts 0: a whole number from 1"),
        ("max_attempts = 1.0", "fsq.toml: max_attempts 1.0"),
        ("max_attempts = true", "fsq.toml: max_attempts True"),
        ("max_jobs = -5", "fsq.toml: max_jobs -5"),
        ('max_jobs = "²"', "fsq.toml: max_jobs '²'"),
        ("max_jobs = " + "9" * 30, "fsq.toml: max_jobs 999"),
        ('timeout = "soon"', "fsq.toml: timeout 'soon': use seconds"),
        ('backoff = "1h..1s"', "fsq.toml: backoff '1h..1s': the longest wait is shorter than the first"),
        ('max_bytes = "1X"', "fsq.toml: max_bytes '1X': use bytes"),
        ("[queues.load]\nkeep_done = -1", "fsq.toml: queues.load: keep_done -1"),
        ("queues = 3", "queues must be tables, such as"),
        ("[queues]\nload = 3", "queues must be tables, such as"),
        ("max_attempts = ", "fsq.toml: no TOML: "),
        ("\x00", "fsq.toml: no TOML: "),
        ("a = 1\na = 2", "fsq.toml: no TOML: "),
        ("max_jobs = " + "9" * 5000, "fsq.toml: no TOML: "),
    ],
)
def test_a_mistake_in_the_file_is_told_at_once_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as caught:
        settings(tmp_path, text)
    assert message in str(caught.value)


def test_a_mistake_in_one_queues_settings_is_found_though_another_queue_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"queues\.load"):
        settings(tmp_path, "[queues.load]\nmax_jobs = 0", queue="default")


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "fsq.toml").write_bytes(b'label = "\xff"')
    with pytest.raises(BadSetting, match="no TOML"):
        settings(tmp_path)


@pytest.mark.parametrize("name", ["timeout", "max_jobs", "backoff", "max_bytes"])
def test_a_mistake_in_the_environment_or_an_option_is_told_as_that(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=f"^environment: {name} 'x'"):
        settings(tmp_path, env={f"FSQ_{name.upper()}": "x"})
    with pytest.raises(BadSetting, match=f"^option: {name} 'x'"):
        settings(tmp_path, **dict[str, Any]({name: "x"}))


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="option: no setting is called 'retries'"):
        settings(tmp_path, retries=3)


def test_other_variables_of_the_environment_are_not_ours(tmp_path: Path) -> None:
    assert settings(tmp_path, env={"FSQ_ROOT": "/x", "MAX_ATTEMPTS": "2", "FSQ_TEST": "1"}) == Settings()


def test_a_file_that_cannot_be_read_is_an_error_of_the_machine(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "fsq.toml")
    with pytest.raises(StoreError, match="cannot read the settings: not a regular file: ") as caught:
        settings(tmp_path)
    assert caught.value.filename == str(tmp_path / "fsq.toml")


def test_a_suggestion_names_the_nearest_or_all() -> None:
    assert suggestion("lod", ["default", "load"]) == "; did you mean 'load'?"
    assert suggestion("zzz", ["default", "load"]) == "; there is default, load"
    assert suggestion("zzz", []) == ""
