"""The command line: ``minidl models | train | evaluate | sample | exercise | step | gpu-check``,
or ``python -m minidl ...``."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from . import __version__, get_num_threads, kernels, kernels_in_use, plots, use_kernels
from .cuda import cuda_problem
from .device import resolve
from .files.regular import shown
from .kernels import CHOICES
from .models import MODELS
from .training import NotFinite, OutOfMemory, Run, Trainer, checkpoint, report, script, stop
from .training.config import config_for, recipe_called
from .training.job import Job, trained
from .training.profiling import profile
from .training.progress import values_text

PROG = "minidl" if Path(sys.argv[0]).stem == "minidl" else "python -m minidl"


# --------------------------------------------------------------------------- commands
def models(args: argparse.Namespace) -> None:
    """List the networks, or one network's layers."""
    if args.name:
        recipe = recipe_called(args.name)
        print(f"{recipe.name}: {recipe.title}\nSource: {recipe.source}")
        print(f"Trained with lr {recipe.lr:g}, batches of {recipe.batch_size}, {recipe.epochs} "
              "epochs")
        from .nn import summary
        for name, module, shape in recipe.parts():
            print(f"\n{name}, input {shape}\n{summary(module, shape)}")
        return
    rows = [("name", "parameters", "source", "what it is")]
    for recipe in MODELS.values():
        count = sum(p.numel() for p in recipe.build().parameters())
        rows.append((recipe.name, f"{count:,}", recipe.source.partition(":")[0], recipe.title))
    for name, count, source, title in rows:
        print(f"{name:13} {count:>11}  {source:8}  {title}")
    print(f"\nLayers of one: {PROG} models cnn")


def train(args: argparse.Namespace) -> int:
    """Train a network into a new run folder, or go on with a run."""
    device = _prepare(args)
    run = _run_to_resume(args) if args.resume else None
    job = Job.of(run, device) if run else Job(_new_config(args), device)
    # What is wrong with data, options or batches must show before a folder is made.
    procedure, loader = job.procedure, job.train_loader()
    test = None if job.recipe.kind == "gan" else job.test_loader()
    run = run or Run.create(job.config, args.out)
    if args.film:
        from .training.filming import Filmed
        procedure = Filmed(procedure, job.config["epochs"] * len(loader))
    trainer = Trainer(procedure, loader, test, run=run, device=device, schedule=job.recipe.schedule,
                      after_epoch=lambda epoch: report.after_epoch(run, job, epoch))
    try:
        with run:                                  # no other process trains here meanwhile
            return _train(args, trainer, run, job)
    except (KeyboardInterrupt, OSError) as stopped:
        asked = isinstance(stopped, KeyboardInterrupt)
        if asked or stopped is trainer.show.lost:
            problem = checkpoint.write_problem()
            _print_anyway("\nstopped" + (f", {problem}" if problem else
                                         f"; go on with: {PROG} train --resume "
                                         f"{shlex.quote(str(run.folder))}"))
        if asked:
            return _status(stopped)
        raise


def _train(args: argparse.Namespace, trainer: Trainer, run: Run, job: Job) -> int:
    resumed = args.resume and _resume(trainer, run, args.epochs)
    config, splits = job.config, job.splits
    if splits.notice:
        print(f"\n*** {splits.notice} ***\n")
    print(f"{job.recipe.name}: {job.recipe.title} ({job.recipe.source})\n"
          f"{splits.name}: {len(splits.train):,} images to train on, {len(splits.test):,} to test "
          f"on; batches of {config['batch_size']}, lr {config['lr']:g}, seed {config['seed']}, "
          f"on {trainer.device}{_no_gpu(args)}\nrun folder: {run.folder}")
    if resumed and trainer.epoch >= config["epochs"]:
        print(f"it has its {config['epochs']} epochs already; --epochs N goes further")
        _draw_pictures(run, job)                   # a kill may have come before its pictures
        return 0
    if args.resume:
        print("resumed " + (f"in epoch {trainer.epoch + 1}, after step {trainer.step}"
                            if trainer.step else f"after epoch {trainer.epoch}")
              if resumed else "it has no checkpoint yet: it starts from the beginning")
    began = time.monotonic()
    (run.folder / "evaluation.json").unlink(missing_ok=True)       # of an earlier state
    with profile() if args.profile else contextlib.nullcontext():
        trainer.fit(config["epochs"])
    if args.film:
        trainer.procedure.save(args.film, job)
    print(f"trained in {time.monotonic() - began:.0f} s" + (
        " (--quick: long enough to see it work, too short to learn)" if config["quick"] else ""))
    _draw_pictures(run, job)
    return 0


def _new_config(args: argparse.Namespace) -> dict[str, Any]:
    if not args.name:
        raise ValueError(f"train: name a model ({', '.join(MODELS)}), or --resume RUN")
    kind = recipe_called(args.name).kind
    for option, kinds in (("latent", ("gan", "vae")), ("likelihood", ("vae",))):
        if getattr(args, option) is not None and kind not in kinds:
            raise ValueError(f"train: --{option} is for {' and '.join(kinds)} models, {args.name} "
                             f"is a {kind}")
    options = {name: value for name in ("latent", "likelihood")
               if (value := getattr(args, name)) is not None}
    return config_for(args.name, epochs=args.epochs, batch_size=args.batch_size, lr=args.lr,
                      seed=args.seed or 0, quick=args.quick,
                      data=str(Path(args.data).resolve()) if args.data else None, **options)


def _run_to_resume(args: argparse.Namespace) -> Run:
    run = Run.open(args.resume)
    for option in ("batch_size", "lr", "seed", "data", "out", "latent", "likelihood", "quick",
                   "film"):
        value = getattr(args, option)
        if value is not None and value is not False:          # 0 is a value too
            raise ValueError(f"train: --{option.replace('_', '-')} belongs to a new run; beside "
                             "--resume there are --epochs, --device and --kernels")
    if args.name not in (None, run.config["model"]):
        raise ValueError(f"train: {run.folder} is a run of {run.config['model']}, not {args.name}")
    return run


def _resume(trainer: Trainer, run: Run, epochs: int | None) -> bool:
    """Go back to the checkpoint; `epochs`, if given, is how many there shall be in all. False if
    there is no checkpoint yet, and nothing else that a new beginning would lose."""
    there = run.is_there()
    if there:
        trainer.resume()
    elif epochs is not None and epochs < 1:
        raise ValueError(f"train: --epochs {epochs} is too small, it must be at least 1")
    if epochs is not None and epochs < max(1, trainer.epoch):
        raise ValueError(f"train: --epochs {epochs} counts all epochs, {run.folder} has "
                         f"{trainer.epoch} already")
    was = run.config["epochs"]
    wanted = epochs or (trainer.epochs if there else was)
    if there and wanted != trainer.epochs:
        trainer.epochs = wanted
        trainer.save()                             # it says how far the run goes, from now on
    elif wanted != was and epochs is None:
        print(f"note: config.json says {was} epochs, the run was asked for {wanted}: "
              f"--epochs {was} changes that")
    if wanted != was:
        run.config["epochs"] = wanted
        run.write_json("config.json", run.config)
    return there


def evaluate(args: argparse.Namespace) -> None:
    """Judge a run on the test set, and a GAN's or VAE's images by a trained classifier."""
    device = _prepare(args)
    run = Run.open(args.run)
    job = trained(run, device)
    judge = trained(Run.open(args.judge), device) if args.judge else None
    loader = job.test_loader(1000 if job.recipe.kind == "gan" else None)
    result: dict[str, Any] = job.procedure.evaluate(loader)
    print(f"{job.recipe.name}, {len(loader.dataset):,} test images: {values_text(result)}")
    if judge:
        found = report.judged(report.generated_images(job, args.number, seed=1), judge,
                              report.asked_classes(job, args.number))
        as_asked = f", {found['as_asked']:.1%} as asked" if "as_asked" in found else ""
        print(f"{args.number:,} samples, judged by {judge.recipe.name}: mean confidence "
              f"{found['confidence']:.3f}{as_asked}")
        for label, share in found["shares"].items():
            print(f"  {label:>3} {100 * share:5.1f} % {'#' * round(100 * share)}")
        result["judged"] = {"judge": str(args.judge), "samples": args.number, **found}
    run.write_json("evaluation.json", result)
    if not args.no_pictures:
        _draw_pictures(run, job)


def sample(args: argparse.Namespace) -> None:
    """New pictures from a trained GAN or VAE."""
    run = Run.open(args.run)
    job = trained(run, _prepare(args))
    of = "" if args.digit is None else f"-{args.digit.replace('/', '-')}"
    path = args.out or script.picture_file(str(run.folder / f"sample{of}-seed{args.seed}.png"))
    number = args.number or (10 * len(job.told) if job.told and not of else 64)
    report.sheet(job, number, args.seed, args.digit).savefig(path)
    print(f"{number} samples: {path}")


def exercise(args: argparse.Namespace) -> int:
    """List the exercises, show one, or judge a file that solves it (status 1: not right yet)."""
    from . import exercises
    table = exercises.EXERCISES
    if not args.name:
        print(exercises.listed(table.values(), args.json) + ("" if args.json else
              f"\n\nJudge one: {PROG} exercise relu_backward relu_backward.py"))
        return 0
    if args.name not in table:
        raise ValueError(f"exercise: there is no {args.name!r}; there are {', '.join(table)}")
    if not args.file:
        print(exercises.described(table[args.name], args.json) + ("" if args.json else
              f"\nJudge it: {PROG} exercise {args.name} FILE"))
        return 0
    verdict = exercises.judge(table[args.name], args.file, args.timeout, args.seed)
    following = dict(zip(table, list(table)[1:])).get(args.name)
    print(verdict.json() if args.json else verdict.text() + (
        f"\nThe next one: {following}" if verdict.passed and following else ""))
    return 0 if verdict.passed else 1


def step(args: argparse.Namespace) -> int:
    """Walk through one training step event by event: forward, backward, update."""
    from .explain.jsonlines import write_json
    from .explain.show import show
    from .explain.trace import Trace
    from .training import first_step
    if (args.source is None) == (args.model is None):
        raise ValueError("step: give a trace (.json), a script (.py) or --model "
                         f"({', '.join(MODELS)})")
    if args.model:
        trace = first_step.of_model(args.model)
    elif Path(args.source).suffix == ".py":
        trace = first_step.of_script(args.source)
    else:
        trace = Trace.load(args.source)
    if args.check:
        trace.check()
    if args.save:
        trace.save(args.save)
        print(f"trace written: {args.save}", file=sys.stderr)
    if args.html:
        if Path(args.html).suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"step: the name of a page (--html) ends in .html, got {args.html}")
        trace.save(args.html)
        print(f"page written: {args.html} (open it in a browser)", file=sys.stderr)
    if args.json:
        write_json(trace, args.start, args.only, args.phase, args.cell)
    elif not args.html or args.plain or args.lines:
        show(trace, args.start, args.only, args.phase, args.cell, args.plain, args.lines)
    if trace.checks:
        print(trace.verdict(), file=sys.stderr if args.json else sys.stdout)
    return 1 if any(c["status"] == "fail" for c in trace.checks) else 0


def gpu_check(args: argparse.Namespace) -> int:
    """Check everything about a GPU: numbers, training, times (status 1: something failed)."""
    from .gpu_check import check_gpu
    try:
        passed = check_gpu(args.only, args.quick, args.out, apart=not args.one_process)
    except RuntimeError as error:                        # no GPU, and why
        raise ValueError(error) from error
    return 0 if passed else 1


# --------------------------------------------------------------------------- what they share
def _prepare(args: argparse.Namespace) -> str:
    """Choose the kernels; the device that `--device` means."""
    use_kernels(args.kernels or kernels_in_use())
    get_num_threads()                                    # a wrong MINIDL_NUM_THREADS is told first
    try:
        device = resolve(args.device)
    except RuntimeError as error:
        raise ValueError(error) from error
    if device == "cpu" and kernels_in_use() == "fast" and kernels.problem():
        print(f"note: {kernels.problem()}")
    return device


def _no_gpu(args: argparse.Namespace) -> str:
    """Why `--device auto` means the CPU here."""
    problem = cuda_problem() if args.device == "auto" else None
    return f" (no GPU: {problem.partition(';')[0]})" if problem else ""


def _draw_pictures(run: Run, job: Job) -> None:
    if plots.matplotlib_problem():
        print(f"note: {plots.matplotlib_problem()}")
        return
    names = [path.name for path in report.pictures(run, job)]
    print(f"pictures in {run.folder}: {', '.join(names)}")


def _cell(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers such as 0,3,5,5"
                                         ) from None


def _parser() -> argparse.ArgumentParser:
    parser = _with_example(argparse.ArgumentParser, "train cnn", prog=PROG, description=
                           "Train small CNNs, GANs and VAEs, and look at what they learnt.")
    parser.add_argument("--version", action="version", version=f"minidl {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(function: Any, *examples: str) -> argparse.ArgumentParser:
        text = function.__doc__
        made = _with_example(commands.add_parser, *examples, help=text, description=text,
                             name=function.__name__.replace("_", "-"))
        made.set_defaults(function=function)
        return made

    p = command(models, "models", "models cnn")
    p.add_argument("name", nargs="?", metavar="NAME", help="the network whose layers to list")

    p = command(train, "train cnn", "train vae --latent 2 --epochs 3 --out runs/plane",
                "train gan --quick", "train --resume runs/plane --epochs 5")
    p.add_argument("name", nargs="?", metavar="NAME", help=", ".join(MODELS))
    p.add_argument("--epochs", type=int, help="times through the training set, in all")
    p.add_argument("--batch-size", type=int, metavar="N", help="images a step")
    p.add_argument("--lr", type=float, help="learning rate of the optimiser")
    p.add_argument("--seed", type=int, help="of weights, order, noise and dropout (default 0)")
    p.add_argument("--data", metavar="DIR", help="a folder of IDX files (MNIST, Fashion-MNIST, "
                   "EMNIST), or of CIFAR-10's binary files for cnn-rgb (default: shipped MNIST)")
    p.add_argument("--out", metavar="DIR", help="run folder (default: runs/NAME-DATE-TIME)")
    p.add_argument("--latent", type=int, metavar="N", help="length of the code or noise z")
    p.add_argument("--likelihood", choices=("bernoulli", "gaussian"), help="of a pixel, for vae "
                   "(default bernoulli)")
    p.add_argument("--quick", action="store_true", help="a few images and steps: done in seconds")
    p.add_argument("--profile", action="store_true", help="print in the end where the time went, "
                   "op by op, forward and backward")
    p.add_argument("--film", type=script.writable, metavar="FILE", help="losses, kernels and "
                   "samples of some moments, and one recorded step, as a trace (.json.gz)")
    p.add_argument("--resume", metavar="RUN", help="go on with the run in this folder")
    _add_machine(p)

    p = command(evaluate, "evaluate runs/cnn", "evaluate runs/gan --judge runs/cnn")
    p.add_argument("run", metavar="RUN", help="a run folder")
    p.add_argument("--judge", metavar="RUN", help="run of a classifier, to judge samples of a GAN "
                   "or a VAE")
    p.add_argument("--number", type=script.at_least(1), default=1000, metavar="N",
                   help="samples to judge (default 1000)")
    p.add_argument("--no-pictures", action="store_true", help="only evaluation.json is written to "
                   "the run folder; else its pictures are drawn again too")
    _add_machine(p)

    p = command(sample, "sample runs/gan --number 100 --seed 7 --out digits.png",
                "sample runs/cgan --digit 3")
    p.add_argument("run", metavar="RUN", help="a run folder of a GAN or a VAE")
    p.add_argument("--number", type=script.at_least(1), metavar="N", help="images (default 64; of "
                   "a GAN that is told classes, such as cgan, 10 of each)")
    p.add_argument("--digit", metavar="N", help="all of this digit (or class, of other data), from "
                   "a GAN that is told it")
    p.add_argument("--seed", type=script.at_least(0), default=0, metavar="N",
                   help="of the noise (default 0)")
    p.add_argument("--out", type=script.picture_file, metavar="FILE",
                   help="picture to write (default: sample-seed0.png and so on in the run folder)")
    _add_machine(p)

    p = command(exercise, "exercise", "exercise relu_backward", "exercise relu_backward my.py")
    p.add_argument("name", nargs="?", metavar="NAME", help="the exercise (default: list them)")
    p.add_argument("file", nargs="?", metavar="FILE", help="a Python file that solves it")
    p.add_argument("--json", action="store_true", help="one JSON object, for a grader")
    p.add_argument("--timeout", type=float, default=10, metavar="SECONDS",
                   help="for all cases together (default 10)")
    p.add_argument("--seed", type=script.at_least(0), metavar="N",
                   help="draw the cases of an earlier judgement again (default: new ones)")

    p = command(step, "step run.json", "step --model cnn --html run.html",
                "step my_script.py --only conv1",
                "step run.json --from 25 --phase backward --cell 0,3,5,5")
    p.add_argument("source", nargs="?", metavar="FILE", help="a trace (.json), or a Python script "
                   "(.py): it is run until each of its optimisers has made its first step; what it "
                   "prints goes to standard error")
    p.add_argument("--model", metavar="NAME", help="a step of this fresh network on two images, "
                   "instead of a file")
    p.add_argument("--from", dest="start", type=int, default=1, metavar="N",
                   help="begin at this event (the first is 1)")
    p.add_argument("--only", metavar="TEXT", help="events of this op, module, parameter or input")
    p.add_argument("--phase", choices=("forward", "backward", "update"))
    p.add_argument("--cell", type=_cell, metavar="I,J,...", help="the element to explain, where a "
                   "result has it (default: the largest in magnitude)")
    p.add_argument("--check", action="store_true", help="first prove the step: every op replayed, "
                   "every gradient compared with finite differences (status 1: something is wrong)")
    p.add_argument("--save", metavar="FILE", help="write the trace to this file (.json, .json.gz)")
    p.add_argument("--html", metavar="FILE", help="write the step as a page for a browser; walk "
                   "only if asked to by --plain, --lines or --json")
    how = p.add_mutually_exclusive_group()
    how.add_argument("--plain", action="store_true", help="all events with all details, without "
                     "colours and keys")
    how.add_argument("--lines", action="store_true", help="commands from standard input, one a "
                     "line, in the place of keys (? lists them)")
    how.add_argument("--json", action="store_true", help="a JSON object a line for each event, "
                     "with its explanation")

    p = command(gpu_check, "gpu-check", "gpu-check --quick --only ops,kernels")
    p.add_argument("--quick", action="store_true", help="small sizes, to see that it works: the "
                   "times say nothing")
    p.add_argument("--only", type=lambda text: text.split(","), metavar="PART,...",
                   help="these parts alone, of versions, ops, kernels, training, calls, steps, "
                   "steps-tf32, graphs, accuracy")
    p.add_argument("--out", default="gpu-check.json", metavar="FILE", help="JSON to write (default "
                   "gpu-check.json)")
    p.add_argument("--one-process", action="store_true", help="not each part in a process of its "
                   "own, for a debugger")
    return parser


def _with_example(make: Any, *examples: str, name: str | None = None, **options: Any) -> Any:
    lines = "".join(f"\n  {PROG} {example}" for example in examples)
    return make(*([name] if name else []), epilog=f"example:{lines}",
                formatter_class=argparse.RawDescriptionHelpFormatter, **options)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto (a GPU if one "
                        "works; the default), cpu, cuda, or cuda:1 for the second GPU")
    parser.add_argument("--kernels", choices=CHOICES,
                        help="fast (the default, unless MINIDL_KERNELS says otherwise), or "
                        "reference: the readable arithmetic, to step through")


def _status(stop: KeyboardInterrupt) -> int:
    """The exit status that names the signal: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return getattr(stop, "status", 130)


def _print_anyway(text: str) -> None:
    """On standard output, or, if nobody reads that any more, on standard error, if anybody does."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            return print(text, file=stream, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit status: 0, 2 for an error, 130, 143 or 129 when Ctrl-C, SIGTERM or
    SIGHUP stopped it, 141 when nobody read what it printed."""
    _open_closed_streams()
    with contextlib.suppress(AttributeError):            # what a console cannot show becomes ?
        sys.stdout.reconfigure(errors="replace")
    args = _parser().parse_args(argv)
    try:
        with stop.raised():
            status = args.function(args) or 0
            sys.stdout.flush()
            return status
    except KeyboardInterrupt as stopped:
        return _status(stopped)
    except BrokenPipeError:                              # as of `| head -1`
        return 141
    except Exception as error:
        if sys.flags.dev_mode or not isinstance(error, TOLD):
            raise                                        # python -X dev -m minidl: where it was
        _print_error(error)
        return 2
    finally:
        _give_up_broken_output()


# What is told in a line. All else is a fault of minidl, and Python shows where.
TOLD = (ValueError, OSError, ImportError, MemoryError, argparse.ArgumentTypeError)


def _print_error(error: Exception) -> None:
    hint = ""
    if isinstance(error, NotFinite):
        hint = "; a smaller --lr may help"
    elif isinstance(error, OutOfMemory) and error.batch_size > 1:
        hint = f"; try --batch-size {error.batch_size // 2}"
    # A damaged file is quoted in errors: what it holds shall not command the terminal.
    lines = f"minidl: {error or 'out of memory'}{hint}".split("\n")
    with contextlib.suppress(OSError, ValueError):
        print(*map(shown, lines), sep="\n", file=sys.stderr)


def _open_closed_streams() -> None:
    """A program may be started with its standard streams closed (`<&- >&-`): then the next file
    that is opened would take their numbers, and what is printed would go into it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, mode, closefd=False))    # open until the program ends


def _give_up_broken_output() -> None:
    """What nobody reads shall not be written again when Python ends: it would be a traceback."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
