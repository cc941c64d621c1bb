"""D2-TUNE, examples/tune.py: its four searches, its trials' file, and the script as a whole."""

import json
import subprocess
import sys

import numpy as np
import pytest

from examples import EXAMPLES, load_example

tune = load_example("tune")
SPACE = {"lr": [1e-4, 1e-1], "batch": [16, 256]}


def losses(points, best=(0.3, 0.7)):
    """A bowl with its bottom at `best`, as the trials of a search."""
    return [{"u": list(u), "loss": 0.1 + float(np.sum((np.array(u) - best) ** 2))} for u in points]


def searched(search, points, seed=0):
    past = []
    for _ in range(points**2):
        past += losses([tune.propose(search, 2, points, past, [seed])])
    return past


def test_decode_is_logarithmic_and_keeps_whole_numbers():
    assert tune.decode([0, 0], SPACE) == {"lr": 1e-4, "batch": 16}
    assert tune.decode([1, 1], SPACE) == pytest.approx({"lr": 1e-1, "batch": 256})
    middle = tune.decode([0.5, 0.5], SPACE)
    assert middle == pytest.approx({"lr": 10**-2.5, "batch": 64})
    assert isinstance(middle["batch"], int) and type(middle["lr"]) is float
    assert tune.decode([0.7], {"width": [8, 8]}) == {"width": 8}


def test_grid_tries_every_crossing_once():
    tried = sorted(tuple(np.round(t["u"], 6)) for t in searched("grid", 3))
    axis = (1 / 6, 1 / 2, 5 / 6)
    assert tried == [tuple(np.round((a, b), 6)) for a in axis for b in axis]


def test_random_search_is_even_and_repeats_from_its_seed():
    u = np.array([t["u"] for t in searched("random", 12)])
    assert np.histogram2d(*u.T, bins=2, range=[[0, 1]] * 2)[0].min() > 20     # 36 of 144 in each
    assert [t["u"] for t in searched("random", 12)] == u.tolist()
    assert [t["u"] for t in searched("random", 12, seed=1)] != u.tolist()


def test_training_learns_and_repeats_and_a_failed_one_counts_as_a_guess():
    digits = tune.data.mnist().train
    values = {"lr": 1e-2, "batch": 32, "width": 4}
    result = tune.train(values, digits[:600], digits[600:850], 2, seed=5)
    assert result["accuracy"] > 0.6
    assert tune.train(values, digits[:600], digits[600:850], 2, seed=5) == result
    failed = tune.train({**values, "lr": 1e6}, digits[:64], digits[600:850], 1, seed=5)
    assert failed["loss"] == pytest.approx(np.log(10))


TRIALS = [{"search": "grid", "training_seed": 7, "loss": 1.0},
          {"search": "grid", "training_seed": 8, "loss": 2.0}]
LINES = "".join(json.dumps(trial) + "\n" for trial in TRIALS)


def test_the_trials_of_a_file_are_read(tmp_path):
    path = tmp_path / "tune.jsonl"
    assert tune.read(path) == []
    for half in ("", '{"search": "grid", "loss": 3.', json.dumps(TRIALS[0])):
        path.write_text(LINES + half)
        assert tune.read(path) == TRIALS
        assert path.read_text() == LINES, "the next trial gets its own line"


@pytest.mark.parametrize("foreign", [
    "no JSON", "no JSON\n", "\n", LINES + "\n", LINES + "\n" + LINES, '{"search": "grid"\n',
    LINES + "3.", LINES + "[1]\n", LINES + "5\n", "\xff\n",
    '{"search": "grid", "run": 0, "seed": 0, "loss": 1.0}\n'])        # of the seeds before these
def test_a_file_with_other_lines_is_left_alone(tmp_path, foreign):
    path = tmp_path / "tune.jsonl"
    path.write_text(foreign, encoding="latin-1")
    with pytest.raises(ValueError, match=r"tune\.jsonl has lines that are no trials: move it"):
        tune.read(path)
    assert path.read_text(encoding="latin-1") == foreign


# --------------------------------------------------------------------------- the command line
class Figure:
    def savefig(self, path):
        pass


@pytest.fixture
def trained(monkeypatch):
    """Trainings and the picture of main() take no time: what train() was called with."""
    calls = []

    def train(values, digits, validation, epochs, seed):
        calls.append({**values, "seed": seed})
        return {"loss": values["lr"], "accuracy": 0.5}

    monkeypatch.setattr(tune, "train", train)
    monkeypatch.setattr(tune, "draw", lambda done: Figure())
    return calls


def main(monkeypatch, tmp_path, *arguments):
    command = ["tune.py", "--quick", "--out", str(tmp_path / "t.png"), *arguments]
    monkeypatch.setattr(sys, "argv", command)
    tune.main()


@pytest.mark.parametrize("arguments, reason", [
    (["--runs", "0"], "at least 1 is needed"),
    (["--lr", "0.1", "0.01"], "error: --lr: 0 < LOW <= HIGH is needed, got 0.1 0.01"),
    (["--lr", "0", "0.1"], "--lr: 0 < LOW <= HIGH is needed, got 0.0 0.1"),
    (["--lr", "nan", "0.1"], "--lr: 0 < LOW <= HIGH is needed, got nan 0.1"),
    (["--lr", "0.1", "inf"], "--lr: 0 < LOW <= HIGH is needed, got 0.1 inf"),
    (["--batch", "64", "32"], "--batch: 0 < LOW <= HIGH is needed, got 64 32"),
    (["--width", "0", "8"], "--width: 0 < LOW <= HIGH is needed, got 0 8"),
    (["--searches", "tabu"], "invalid choice: 'tabu'")])
def test_what_cannot_be_searched_is_refused_before_training(
        monkeypatch, tmp_path, capsys, trained, arguments, reason):
    with pytest.raises(SystemExit):
        main(monkeypatch, tmp_path, "--searches", "grid", *arguments)
    assert reason in capsys.readouterr().err
    assert not trained and not list(tmp_path.iterdir())


def test_a_foreign_file_of_trials_is_refused_before_training(
        monkeypatch, tmp_path, capsys, trained):
    (tmp_path / "t.jsonl").write_text("\n")
    with pytest.raises(SystemExit):
        main(monkeypatch, tmp_path, "--searches", "grid")
    assert "t.jsonl has lines that are no trials" in capsys.readouterr().err
    assert not trained


def test_guided_search_without_scikit_learn_says_what_to_install(
        monkeypatch, tmp_path, capsys, trained):
    installed = tune.importlib.util.find_spec
    monkeypatch.setattr(tune.importlib.util, "find_spec",
                        lambda name: None if name == "sklearn" else installed(name))
    with pytest.raises(SystemExit):
        main(monkeypatch, tmp_path, "--searches", "forest")
    told = "pip install scikit-learn, or give --searches grid random"
    assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(monkeypatch, tmp_path, "--lr", "0.1", "0.01")
    assert "--lr: 0 < LOW <= HIGH is needed" in capsys.readouterr().err
    assert not trained and not list(tmp_path.iterdir())


def test_trials_that_are_reused_are_named(monkeypatch, tmp_path, capsys, trained):
    told = f"{tmp_path / 't.jsonl'}: 8 grid trials of an earlier run are reused; delete it to"
    for reused in (False, True):
        main(monkeypatch, tmp_path, "--searches", "grid")
        assert (told in capsys.readouterr().out) == reused


def test_help_names_the_file_of_trials_and_every_default(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(monkeypatch, tmp_path, "--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "--lr LOW HIGH what is tried (default 0.0001 to 0.1)" in told and "tune.jsonl" in told


def test_a_search_that_is_named_twice_runs_once(monkeypatch, tmp_path, trained):
    main(monkeypatch, tmp_path, "--searches", "grid", "grid")
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 8
    assert len(trained) == 8 + 1


def test_every_training_has_a_seed_of_its_own_which_the_scripts_seed_decides(
        monkeypatch, tmp_path, trained):
    seeds = {}
    for seed in ("0", "1", "0"):
        trained.clear()
        (tmp_path / "t.jsonl").unlink(missing_ok=True)
        main(monkeypatch, tmp_path, "--searches", "random", "--runs", "2", "--seed", seed)
        drawn = [call["seed"] for call in trained]
        assert seeds.setdefault(seed, drawn) == drawn
    trials = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    tried = seeds["0"][:8] + seeds["0"][9:17]               # after each run its best, once more
    assert [trial["training_seed"] for trial in trials] == tried and len(set(tried)) == 16
    best = min(trials[:8], key=lambda trial: trial["loss"])
    assert seeds["0"][8] == best["training_seed"]
    assert not set(seeds["0"]) & set(seeds["1"])


@pytest.mark.parametrize("search", ["bayesian", "forest"])
def test_guided_search_draws_at_first_then_repeats_from_its_trials(search):
    pytest.importorskip("sklearn")
    past = searched("random", 3)
    for n in (0, 1):                                # the first quarter of 9, and at least 2
        u = tune.propose(search, 2, 3, past[:n], [0])
        assert u.tolist() == past[n]["u"]
    u = tune.propose(search, 2, 3, past[:6], [0])
    assert u.tolist() != past[6]["u"]
    assert u.tolist() == tune.propose(search, 2, 3, past[:6], [0]).tolist()


@pytest.mark.parametrize("search", ["bayesian", "forest"])
def test_the_next_trial_is_where_the_model_hopes_for_most(search, monkeypatch):
    asked = {}

    def surrogate(search, u, f, candidates):
        asked.update(u=u, f=f, candidates=candidates)
        return candidates[:, 0], candidates[:, 1]

    monkeypatch.setattr(tune, "surrogate", surrogate)
    past = searched("random", 3)[:5]
    u = tune.propose(search, 2, 3, past, [0])
    np.testing.assert_array_equal(asked["u"], [t["u"] for t in past])
    np.testing.assert_allclose(asked["f"], [np.log(t["loss"]) for t in past])
    hopes = [a - 1.5 * b for a, b in asked["candidates"]]
    assert len(hopes) == 1000 and u[0] - 1.5 * u[1] == min(hopes)


@pytest.mark.slow
@pytest.mark.parametrize("search", ["bayesian", "forest"])
def test_guided_search_closes_in_on_the_best(search):
    pytest.importorskip("sklearn")
    guided, drawn = ([t["loss"] for t in searched(name, 5)] for name in (search, "random"))
    assert min(guided) <= min(drawn)
    assert np.mean(guided[10:]) < 0.7 * np.mean(drawn[10:])


@pytest.mark.parametrize("search", ["bayesian", "forest"])
def test_surrogates_know_what_they_were_told_and_doubt_what_is_far(search):
    pytest.importorskip("sklearn")
    u = np.array([[x, y] for x in (0, 0.1, 0.2, 0.3) for y in (0.0, 0.2, 0.4)])
    f = 2 * u[:, 0] + u[:, 1]
    mu, sigma = tune.surrogate(search, u, f, np.vstack([u, [[1.0, 1.0]]]))
    assert mu.shape == sigma.shape == (13,) and (sigma >= 0).all()
    assert np.corrcoef(mu[:12], f)[0, 1] > 0.95
    if search == "bayesian":
        assert sigma[12] > 3 * sigma[:12].max()


def test_surrogate_of_the_forest_is_mean_and_deviation_of_its_trees():
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    u, f, x = rng.random((20, 2)), rng.random(20), rng.random((7, 2))
    mu, sigma = tune.surrogate("forest", u, f, x)
    model = ensemble.RandomForestRegressor(50, random_state=0).fit(u, f)
    np.testing.assert_allclose(mu, model.predict(x))
    says = [[tree.predict(point[None])[0] for tree in model.estimators_] for point in x]
    np.testing.assert_allclose(sigma, [np.std(row) for row in says])


def run(tmp_path, *arguments):
    command = [sys.executable, str(EXAMPLES / "tune.py"), "--quick", "--out", "t.png", *arguments]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_stopped_search_goes_on_and_ends_as_if_it_had_not_been(tmp_path):
    unguided = "--searches", "grid", "random"
    first = run(tmp_path, *unguided)
    assert first.returncode == 0, first.stderr
    rows = [line.split() for line in first.stdout.splitlines()[-3:-1]]
    assert [row[0] for row in rows] == ["grid", "random"]
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")

    trials = (tmp_path / "t.jsonl").read_text()
    assert len(trials.splitlines()) == 16
    best = min(json.loads(line)["loss"] for line in trials.splitlines()[:8])
    assert float(rows[0][2]) == pytest.approx(best, abs=6e-4)
    half = trials.splitlines(keepends=True)[:11]                       # in the midst of `random`
    (tmp_path / "t.jsonl").write_text("".join(half))
    again = run(tmp_path, *unguided)
    assert again.stdout.splitlines()[-4:] == first.stdout.splitlines()[-4:], again.stderr
    assert "8 grid trials of" in again.stdout and "3 random trials of" in again.stdout
    assert (tmp_path / "t.jsonl").read_text() == trials


@pytest.mark.slow
def test_all_four_searches_run(tmp_path):
    pytest.importorskip("sklearn")
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()[-5:-1]]
    assert names == ["grid", "random", "bayesian", "forest"]
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 32
