from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from omegaconf import DictConfig

from progrec.learning import config as configs
from progrec.learning import job as jobs
from progrec.learning import train, update
from progrec.learning.config import FeaturesConfig, ModelConfig, SamplerConfig
from progrec.learning.losses import LossName
from progrec.settings import SettingsError

ROOT = Path(__file__).parents[2]

Composed = Callable[..., DictConfig]
Command = Callable[..., str]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """A stage's arguments -> what it complains of, in a folder with a copy of conf/."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)

    def complain(stage: str, *arguments: str) -> str:
        monkeypatch.setattr("sys.argv", [stage, *arguments])
        task = {"train": train._run, "update": update._run}[stage]
        with pytest.raises(SystemExit) as end:
            jobs.composed(stage, task)
        captured = capsys.readouterr()
        assert end.value.code == 1
        assert captured.out == ""
        assert "Traceback" not in captured.err
        assert sorted(path.name for path in tmp_path.iterdir()) == ["conf", "params.yaml"]
        return captured.err

    return complain


def edit(file: str, old: str, new: str) -> None:
    path = Path("conf") / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_the_projects_own_settings_are_the_papers_network(composed: Composed) -> None:
    config = configs.train_config(composed("train"))

    assert config.model.towers == ("gmf", "mlp")
    assert config.trainer.accelerator == "cpu"
    assert config.out == Path("artifacts/model")


@pytest.mark.parametrize(
    ("preset", "towers"),
    [("neumf", ("gmf", "mlp")), ("gmf", ("gmf",)), ("mlp", ("mlp",))],
)
def test_every_model_composes(composed: Composed, preset: str, towers: tuple[str, ...]) -> None:
    assert configs.train_config(composed("train", f"model={preset}")).model.towers == towers


@pytest.mark.parametrize("preset", ["cpu", "gpu", "smoke"])
@pytest.mark.parametrize("stage", ["train", "update"])
def test_every_trainer_composes_in_both_stages(composed: Composed, stage: str, preset: str) -> None:
    validate = {"train": configs.train_config, "update": configs.update_config}[stage]

    trainer = validate(composed(stage, f"trainer={preset}")).trainer

    assert trainer.accelerator == ("gpu" if preset == "gpu" else "cpu")
    assert (trainer.max_epochs <= 2) == (preset == "smoke")


def test_the_default_loss_is_the_papers_on_uniform_negatives_of_all_time(
    composed: Composed,
) -> None:
    for config in (
        configs.train_config(composed("train")),
        configs.update_config(composed("update")),
    ):
        assert (config.loss.name, config.loss.half_life_days) == ("bce", None)
        assert config.sampler == SamplerConfig(negatives=4, popularity_exponent=0, hardest_of=1)


@pytest.mark.parametrize("stage", ["train", "update"])
def test_losses_and_samplers_are_choices_of_both_stages(composed: Composed, stage: str) -> None:
    validate = {"train": configs.train_config, "update": configs.update_config}[stage]
    default = validate(composed(stage))

    for name in get_args(LossName):
        loss = validate(composed(stage, f"loss={name}", "loss.half_life_days=30")).loss
        assert loss == default.loss.model_copy(update={"name": name, "half_life_days": 30})
    popularity, hard = (
        validate(composed(stage, f"sampler={name}")).sampler for name in ("popularity", "hard")
    )
    assert popularity == SamplerConfig(negatives=4, popularity_exponent=0.75)
    assert hard == SamplerConfig(negatives=4, hardest_of=4)


@pytest.mark.parametrize("stage", ["train", "update"])
@pytest.mark.parametrize("override", ["sampler=hard", "sampler.hardest_of=2"])
def test_a_softmax_of_the_hardest_negatives_is_refused(
    command: Command, stage: str, override: str
) -> None:
    complaint = command(stage, "loss=softmax", override)

    assert complaint.startswith(f"error: conf/ ({stage}.yaml) cannot be used:\n  sampler: ")
    assert "hardest_of must be 1 with loss=softmax" in complaint
    assert "take sampler=uniform, sampler=popularity or another loss" in complaint
    assert len(complaint.splitlines()) == 2


def test_a_loss_that_is_wrong_itself_is_all_that_is_told(command: Command) -> None:
    complaint = command("train", "loss.name=hinge", "sampler=hard")

    assert complaint.splitlines()[1:] == [
        "  loss.name: Input should be 'bce', 'bpr' or 'softmax' (it is 'hinge')"
    ]


def test_side_inputs_are_a_choice_and_none_is_the_default(composed: Composed) -> None:
    default, none, attributes, tables = (
        configs.train_config(composed("train", *overrides)).model
        for overrides in (
            (),
            ("features=none",),
            ("features=attributes",),
            ("features=tables", "model=gmf"),
        )
    )

    assert default == none
    assert default.features == FeaturesConfig()
    assert attributes.features == FeaturesConfig(attributes=("category", "brand"))
    assert tables.towers == ("gmf",)
    assert "avg_price" in tables.features.items
    assert tables.features.attributes == ("category", "brand")


def test_an_unknown_key_of_side_inputs_is_named_with_the_nearest(command: Command) -> None:
    edit("features/tables.yaml", "attributes:", "atributes:")

    assert command("train", "features=tables") == (
        "error: conf/ (train.yaml) cannot be used:\n"
        "  model.features.atributes: unknown key; did you mean attributes?\n"
    )


def test_an_unknown_key_in_a_file_is_named_with_the_nearest(command: Command) -> None:
    edit("model/hybrid.yaml", "factors: 64", "factors: 64\nfactor: 8")

    assert command("train") == (
        "error: conf/ (train.yaml) cannot be used:\n"
        "  model.factor: unknown key; did you mean factors?\n"
    )


def test_an_unknown_key_in_the_updates_file_is_named_with_the_nearest(command: Command) -> None:
    edit("update/daily.yaml", "epochs: 3", "epoch: 3")

    assert command("update") == (
        "error: conf/ (update.yaml) cannot be used:\n"
        "  update.epochs: missing\n"
        "  update.epoch: unknown key; did you mean epochs?\n"
    )


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("model.factor=8", "model.factor: unknown key; did you mean factors?"),
        ("model.features.user=[]", "model.features.user: unknown key; did you mean users?"),
        ("optimizer.rate_table=1", "optimizer.rate_table: unknown key; did you mean table_rate?"),
        ("trainr=smoke", "trainr: unknown key; did you mean trainer?"),
        ("+model.factor=8", "  model.factor: unknown key; did you mean factors?"),
    ],
)
def test_an_unknown_key_in_an_override_is_named_with_the_nearest(
    command: Command, override: str, hint: str
) -> None:
    assert hint in command("train", override).splitlines()


def test_an_unknown_key_in_a_sweep_is_named_with_the_nearest(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("hydra/job.yaml", "dir: artifacts/sweeps/${now:%Y-%m-%d_%H-%M-%S}", "dir: conf/sweep")

    complaint = command("train", "-m", "model.factor=8,16")

    assert "model.factor: unknown key; did you mean factors?" in complaint.splitlines()


def test_an_unknown_preset_is_answered_with_those_there_are(command: Command) -> None:
    complaint = command("train", "model=gnf")

    assert "Could not find 'model/gnf'" in complaint
    assert "neumf" in complaint


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("seed=???", "seed: Missing mandatory value: seed"),
        ("seed='${nowhere}'", "seed: Interpolation key 'nowhere' not found"),
        ("seed=-1", "seed: Input should be greater than or equal to 0 (it is -1)"),
        ("model.factors=0", "model.factors: Input should be greater than or equal to 1 (it is 0)"),
        ("model.towers=[]", "towers must name at least one of gmf, mlp"),
        ("model.features.users=[view]", "model.features.users.0: Input should be 'total_purchases"),
        ("model.features.attributes=[color]", "Input should be 'category' or 'brand'"),
        ("model.layers=[8]", "layers must have at least two widths"),
        ("loss.half_life_days=0", "loss.half_life_days: Input should be greater than 0"),
        ("sampler.popularity_exponent=2", "sampler.popularity_exponent: Input should be less than"),
        ("sampler.hardest_of=0", "sampler.hardest_of: Input should be greater than or equal to 1"),
        ("optimizer.table_rate=0", "optimizer.table_rate: Input should be greater than 0"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(
    command: Command, override: str, complaint: str
) -> None:
    answer = command("train", override)

    assert answer.startswith("error: conf/ (train.yaml) cannot be used:\n  ")
    assert complaint in answer


def test_a_folder_without_conf_is_named(command: Command) -> None:
    shutil.move("conf/train.yaml", "conf/model/train.yaml")

    assert "Cannot find primary config 'train'" in command("train")


def test_the_digest_is_of_what_decides_a_training_and_not_of_its_paths(
    composed: Composed,
) -> None:
    digest = configs.digest(configs.train_config(composed("train")))

    for override in ("data=x", "out=x", "curve=x"):
        assert configs.digest(configs.train_config(composed("train", override))) == digest
    for override in ("seed=1", "model.factors=8", "loss=bpr", "sampler=hard", "model=mlp"):
        assert configs.digest(configs.train_config(composed("train", override))) != digest


def test_an_updates_digest_leaves_its_parents_path_out(composed: Composed) -> None:
    digests = [
        configs.digest(configs.update_config(composed("update", *overrides)))
        for overrides in ((), ("parent=x", "data=x", "out=x", "report=x"), ("update.epochs=1",))
    ]

    assert digests[0] == digests[1] != digests[2]


def test_settings_cannot_be_changed(composed: Composed) -> None:
    config = configs.train_config(composed("train"))

    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1


def test_gmf_alone_needs_no_layers_and_mlp_does() -> None:
    assert ModelConfig(towers=("gmf",), factors=4, layers=()).layers == ()
    with pytest.raises(ValueError, match="at least two widths"):
        ModelConfig(towers=("mlp",), factors=4, layers=(8,))


def test_all_problems_are_told_at_once(composed: Composed) -> None:
    with pytest.raises(SettingsError) as caught:
        configs.train_config(composed("train", "model.factors=0", "trainer.patience=0"))

    assert "model.factors" in str(caught.value)
    assert "trainer.patience" in str(caught.value)
