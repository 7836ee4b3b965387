"""The command line over all rooms."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from progrec.errors import InputError

if TYPE_CHECKING:
    from progrec.serving.store import Store
    from progrec.tracking import Tracking

app = typer.Typer(
    name="progrec",
    help="A progressive hybrid recommender for shops.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
imports = typer.Typer(help="Put a real shop's data where the pipeline reads it.")
app.add_typer(imports, name="import", no_args_is_help=True)
features = typer.Typer(help="What the pipeline has made of the data.")
app.add_typer(features, name="features", no_args_is_help=True)
events = typer.Typer(help="What the service has accepted.")
app.add_typer(events, name="events", no_args_is_help=True)
queue = typer.Typer(help="The shoppers' queues, while the service runs or not.")
app.add_typer(queue, name="queue", no_args_is_help=True)
benchmark = typer.Typer(help="Measure the model on data with published figures.")
app.add_typer(benchmark, name="benchmark", no_args_is_help=True)
model = typer.Typer(help="The versions of the model, and which of them is served.")
app.add_typer(model, name="model", no_args_is_help=True)

SERVICE = "http://127.0.0.1:3000"

Out = Annotated[Path, typer.Option(help="The folder of raw data.")]
Add = Annotated[bool, typer.Option("--add", help="Add to a folder that holds other files.")]


@app.command(epilog="Example: progrec simulate --users 500 --events 20000 --days 60")
def simulate(
    out: Out = Path("data"),
    users: Annotated[int, typer.Option(help="Shoppers.")] = 5000,
    products: Annotated[int, typer.Option(help="Products.")] = 1200,
    events: Annotated[int, typer.Option(help="Events.")] = 300_000,
    days: Annotated[int, typer.Option(help="Days of the log.")] = 150,
    seed: Annotated[int, typer.Option(help="The same seed makes the same bytes.")] = 0,
    start: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The first day.")
    ] = datetime(2019, 10, 1),
) -> None:
    """Make the sample shop: a believable log, one CSV a month."""
    from progrec.events import simulate as simulator  # noqa: PLC0415

    simulator.simulate(
        out,
        users=users,
        products=products,
        events=events,
        days=days,
        seed=seed,
        start=start.date(),
    )
    typer.echo(f"{out}: {events:,} events of {users:,} shoppers in {days} days")


@imports.command("rees46", epilog="Example: progrec import rees46 2019-Oct.csv 2019-Nov.csv.gz")
def import_rees46(
    files: Annotated[list[Path], typer.Argument(help="Monthly logs, CSV or CSV.gz.")],
    catalogue: Annotated[Path | None, typer.Option(help="Product table, CSV or Parquet.")] = None,
    out: Out = Path("data"),
    add: Add = False,
) -> None:
    """Import logs in REES46's form, with six or nine columns."""
    from progrec.events import rees46  # noqa: PLC0415

    _tell(rees46.import_files(files, out, catalogue=catalogue, add=add), out)


@imports.command(
    "online-retail", epilog="Example: progrec import online-retail online_retail.csv.gz"
)
def import_online_retail(
    file: Annotated[Path, typer.Argument(help="UCI Online Retail, CSV or CSV.gz.")],
    out: Out = Path("data"),
    add: Add = False,
) -> None:
    """Import UCI Online Retail: invoice lines become purchases, cancellations do not."""
    from progrec.events import online_retail  # noqa: PLC0415

    _tell(online_retail.import_file(file, out, add=add), out)


@imports.command(
    "clickstream",
    # \b keeps the line break.
    epilog="\bExample: progrec import clickstream --events stream.csv \\\n"
    "    --purchases batch.csv --history purchases.parquet",
)
def import_clickstream(
    events: Annotated[Path, typer.Option(help="The day's stream, CSV.")],
    purchases: Annotated[Path, typer.Option(help="The batch of purchases, CSV.")],
    history: Annotated[Path, typer.Option(help="Historical purchases, Parquet.")],
    out: Out = Path("data"),
    add: Add = False,
) -> None:
    """Import the simulated real-time engine's stream, batch and history."""
    from progrec.events import clickstream  # noqa: PLC0415

    counts = clickstream.import_files(
        events=events, purchases=purchases, history=history, out=out, add=add
    )
    _tell(counts, out)


@features.command("export", epilog="Example: progrec features export --format csv --out tables")
def export_features(
    out: Annotated[Path, typer.Option(help="The folder to write; new or empty.")],
    form: Annotated[
        Literal["csv", "parquet"], typer.Option("--format", help="What the files are.")
    ] = "csv",
    tables: Annotated[
        Path, typer.Option("--features", help="The tables of history and of the deltas.")
    ] = Path("artifacts/features"),
) -> None:
    """Write the feature tables as they stand now, under the real-time engine's names."""
    from progrec.features import export  # noqa: PLC0415

    for file, rows in export.export(tables, out, form).items():
        typer.echo(f"{out / file}: {rows:,} rows")


@events.command("export", epilog="Example: progrec events export --before 2020-03-02")
def export_events(
    out: Out = Path("data"),
    before: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The first day (UTC) to leave out, else today's."),
    ] = None,
) -> None:
    """Add what the service has accepted to the raw data, as days that are over."""
    from progrec.serving import export  # noqa: PLC0415

    day = (before or datetime.now(UTC)).date()
    with _store() as store:
        files = export.export(store, out, day)
        waiting = store.waiting(day)
    for file, rows in files.items():
        typer.echo(f"{file}: {rows:,} events")
    new = f"{sum(files.values()):,} events are" if files else "nothing is"
    typer.echo(f"{new} new before {day} (UTC); {waiting:,} of later days wait")


@queue.command("audit", epilog="Example: progrec queue audit")
def audit_queues() -> None:
    """Check the database and every queue against every purchase; status 1 if a promise is broken.

    Prints a JSON object with the number of users, of queued products and of violations; each
    violation is a line on the other output.
    """
    from progrec import settings  # noqa: PLC0415
    from progrec.serving import audit  # noqa: PLC0415

    found = audit.audit(settings.load().serving.database)
    for violation in found.violations:
        typer.echo(violation, err=True)
    typer.echo(json.dumps(found._asdict() | {"violations": len(found.violations)}))
    if found.violations:
        raise typer.Exit(1)


@queue.command("rebuild", epilog="Example: progrec queue rebuild")
def rebuild_queues() -> None:
    """Recompute every queue from the journal, and put right those that differ from it."""
    from progrec.serving import rebuild  # noqa: PLC0415

    with _store() as store:
        done = rebuild.rebuild(store)
    typer.echo(f"{done.queues:,} queues recomputed; {done.repaired:,} of them differed")


@queue.command("compact", epilog="Example: progrec queue compact")
def compact_journal() -> None:
    """Shorten the journal: one row a shopper, from which the same queues are made."""
    from progrec.serving import compact  # noqa: PLC0415

    with _store() as store:
        done = compact.compact(store)
    typer.echo(f"{done.users:,} journals are shorter; {done.after:,} rows, of {done.before:,}")


@queue.command("backup", epilog="Example: progrec queue backup queues-2020-03-01.db")
def back_up_queues(
    file: Annotated[Path, typer.Argument(help="The copy; an earlier one is replaced.")],
) -> None:
    """Copy the database as it is now, while the service runs."""
    from progrec import settings  # noqa: PLC0415
    from progrec.serving import backup  # noqa: PLC0415

    backup.backup(settings.load().serving.database, file)
    typer.echo(f"{file}: {file.stat().st_size:,} bytes")


@queue.command("import", epilog="Example: progrec queue import original.db")
def import_queues(
    file: Annotated[Path, typer.Argument(help="A SQLite file with recommendation_queue.")],
) -> None:
    """Add the queues of a database in the original layout; status 1 if some cannot be used."""
    from progrec.serving import legacy  # noqa: PLC0415

    with _store() as store:
        done = legacy.import_file(store, file)
    for line in done.bad:
        typer.echo(line, err=True)
    typer.echo(f"{done.users:,} queues with {done.products:,} products are new")
    typer.echo(f"{done.purchased:,} products were left out, because they have been purchased")
    typer.echo(f"{done.known:,} queues were imported before, {len(done.bad):,} cannot be used")
    if done.bad:
        raise typer.Exit(1)


@benchmark.command("ncf", epilog="Example: progrec benchmark ncf --data ml-1m")
def benchmark_ncf(
    data: Annotated[Path, typer.Option(help="The folder of the NCF paper's three files.")],
) -> None:
    """Rank the NCF paper's held-out items of MovieLens-1M; prints one JSON object."""
    from progrec.learning import ncf_benchmark  # noqa: PLC0415

    typer.echo(json.dumps(ncf_benchmark.benchmark(data)))


@model.command("list", epilog="Example: progrec model list")
def list_versions() -> None:
    """Print the versions: what the gate decided of each, and which is the champion."""
    from progrec.registry import versions  # noqa: PLC0415

    Console().print(versions.table(_tracking()))


@model.command(epilog="Example: progrec model rollback")
def rollback() -> None:
    """Make the champion before the present one the champion again; repeated, the one before it."""
    from progrec.registry import champion  # noqa: PLC0415

    now, before = champion.rollback(_tracking())
    typer.echo(f"version {now.number} is the champion again, version {before.number} no longer")


@model.command(epilog="Example: progrec model promote 3")
def promote(
    version: Annotated[int, typer.Argument(help="Its number, as `progrec model list` shows it.")],
) -> None:
    """Make a version the champion, whatever the gate decided of it."""
    from progrec.registry import champion, versions  # noqa: PLC0415

    tracking = _tracking()
    champion.promote(tracking, versions.find(tracking, version))
    typer.echo(f"version {version} is the champion")


@model.command(epilog="Example: progrec model export champion")
def export(
    out: Annotated[Path, typer.Argument(help="The folder to write.")] = Path("champion"),
) -> None:
    """Copy the champion's bundle for a service that has no registry, such as a bento."""
    from progrec import settings  # noqa: PLC0415
    from progrec.registry import shipped  # noqa: PLC0415

    version = shipped.ship(settings.load().registry, out)
    typer.echo(f"{out}: version {version.number}")


@app.command(epilog="Example: progrec recommend --users all --k 20 --out recs.parquet")
def recommend(
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    users: Annotated[str, typer.Option(help="A file of user ids, one a line, or: all.")] = "all",
    k: Annotated[int, typer.Option(min=1, help="Products a user.")] = 20,
    bundle: Annotated[
        Path | None, typer.Option(help="A bundle; without it, the registry's champion.")
    ] = None,
) -> None:
    """Recommend to many users at once, without touching any queue.

    With --bundle, what a user had bought when the bundle was made is left out; without it, also
    what has been bought since, as the service's database knows it.
    """
    from progrec.serving import batch  # noqa: PLC0415

    rows = batch.recommend(out, users=users, k=k, bundle=bundle)
    typer.echo(f"{out}: {rows:,} recommendations")


@app.command(epilog="Example: progrec report")
def report(
    metrics: Annotated[Path, typer.Option(help="What the evaluate stage wrote.")] = Path(
        "reports/metrics.json"
    ),
    prequential: Annotated[Path, typer.Option(help="What the update stage wrote.")] = Path(
        "reports/prequential.json"
    ),
) -> None:
    """Print what the pipeline has come to: model, update and champion.

    The first table shows the model beside its baselines, the second the updated model beside the
    frozen one; then comes which version is the champion, and what the gate decided.
    """
    from progrec import report as reports  # noqa: PLC0415
    from progrec.registry import versions  # noqa: PLC0415

    console = Console()
    console.print(reports.table(metrics))
    console.print()
    console.print(reports.days(prequential))
    typer.echo(f"{versions.standing(_tracking())}\n")


@app.command(epilog="Example: progrec doctor --json")
def doctor(
    url: Annotated[str, typer.Option(help="Where the service should run.")] = SERVICE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what is wrong with the project, and what to do about it.

    Looks at installation, settings, pipeline, registry, database and service, and changes nothing.
    Status 1 if there is a problem; a warning is none.
    """
    from progrec.doctor import checkup  # noqa: PLC0415

    found = checkup.examine(url)
    if as_json:
        typer.echo(json.dumps(checkup.plain(found)))
    else:
        Console().print(checkup.table(found))
    if checkup.counts(found)["problem"]:
        raise typer.Exit(1)


def _store() -> closing[Store]:
    """The service's database, which closes at the end of a `with`."""
    from progrec import settings  # noqa: PLC0415
    from progrec.serving.store import Store  # noqa: PLC0415

    config = settings.load()
    return closing(Store(config.serving.database, config.queue))


def _tracking() -> Tracking:
    from progrec import settings  # noqa: PLC0415
    from progrec.tracking import Tracking  # noqa: PLC0415

    return Tracking(settings.load().registry)


def _tell(counts: dict[str, int], out: Path) -> None:
    for label, count in counts.items():
        typer.echo(f"{label}: {count:,}")
    typer.echo(
        f"\nNext: `dvc add {out}`, set split.cutoff in params.yaml to a day within the log, "
        "and `dvc repro`."
    )


def main() -> None:
    """Runs a command; a user's mistake ends in one line and status 1."""
    try:
        app()
    except InputError as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", style="red", markup=False)
        raise SystemExit(1) from None
