"""Options on the command line go before the recipe file."""

import pytest

from sub8.cli.recipe_options import BudgetOptions, RecipeOptions, WeightOptions
from sub8.errors import InputError
from sub8.mixed.budget import MaxDrop, MaxLatencyRatio, MeanBits
from sub8.recipe import Dfp8, Int4, Int8, Recipe, Reconstruction, Ternary


def test_no_options_give_the_default_recipe():
    assert RecipeOptions().recipe() == Recipe()


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({"weights": "ternary"}, Ternary(4)),
        ({"weights": "int4"}, Int4(4)),
        ({"weights": "int8"}, Int8("all")),
        ({"weights": "int8", "cluster": "8"}, Int8(8)),
        ({}, Int8("all")),
        ({"cluster": "8"}, Int8(8)),
    ],
)
def test_weights_and_cluster(options, weights):
    assert RecipeOptions(**options).recipe() == Recipe(weights=weights)


def test_options_replace_what_the_file_says_and_keep_the_rest(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        'method = "paper"\nweights = { kind = "ternary", cluster = 16, terms = 2 }\n'
        'last = { kind = "int4" }\nactivations = { calibration = "max" }\n'
    )
    recipe = RecipeOptions(recipe_file=str(path), cluster="8", exponent="dynamic").recipe()
    assert recipe.weights == Ternary(8, terms=2)
    assert recipe.last == Int4("all")
    assert recipe.method == "paper"
    assert recipe.activations == Dfp8(exponent="dynamic", calibration="max")
    assert RecipeOptions(
        recipe_file=str(path), method="optimal", weights="int4"
    ).recipe().weights == Int4(4)


@pytest.mark.parametrize("cluster", ["0", "-1", "4.5", "every"])
def test_a_wrong_cluster(cluster):
    with pytest.raises(InputError, match="cluster"):
        RecipeOptions(cluster=cluster).recipe()


def _budget(weights=None, cluster=None, **options):
    return BudgetOptions(**options).budget(WeightOptions(weights, cluster))


@pytest.mark.parametrize(
    ("options", "budget"),
    [
        ({}, None),
        ({"weights": "int4"}, None),
        ({"max_drop": 1.0}, MaxDrop(1.0)),
        ({"mean_bits": 2.5}, MeanBits(2.5)),
        ({"max_latency_ratio": 0.6}, MaxLatencyRatio(0.6)),
    ],
)
def test_budgets(options, budget):
    assert _budget(**options) == budget


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_drop": 1.0, "mean_bits": 2.5}, "give one of"),
        ({"mean_bits": 2.5, "weights": "int4"}, "leave --weights"),
        ({"max_latency_ratio": 0.5, "cluster": "4"}, "leave --weights"),
        ({"max_drop": 0.0}, "positive"),
    ],
)
def test_wrong_budgets(options, message):
    with pytest.raises(InputError, match=message):
        _budget(**options)


def test_steps_of_reconstruction_come_from_file_or_option(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('method = "reconstruct"\n[reconstruction]\nsteps = 50\nseed = 3\n')
    recipe = RecipeOptions(recipe_file=str(path)).recipe()
    assert recipe.reconstruction == Reconstruction(steps=50, seed=3)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    changed = RecipeOptions(recipe_file=str(path), steps=7).recipe()
    assert changed.reconstruction == Reconstruction(steps=7, seed=3)
    with pytest.raises(InputError, match="steps 0 must be a whole number of at least 1"):
        RecipeOptions(steps=0).recipe()


def test_minutes_belong_to_the_method_that_has_them():
    made = RecipeOptions(method="auto", minutes=2.5, steps=50).recipe()
    assert made.reconstruction == Reconstruction(steps=50, minutes=2.5)
    with pytest.raises(InputError, match="--minutes belongs to --method auto"):
        RecipeOptions(method="reconstruct", minutes=2.5).recipe()


@pytest.mark.parametrize("line", ["stride = 2", "drop = 1.0", 'batch = "many"', "seed = -1"])
def test_a_wrong_reconstruction_names_its_key(tmp_path, line):
    path = tmp_path / "recipe.toml"
    path.write_text(f"[reconstruction]\n{line}\n")
    with pytest.raises(InputError, match=f"reconstruction: .*{line.split()[0]}"):
        RecipeOptions(recipe_file=str(path)).recipe()
