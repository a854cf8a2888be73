"""`loans models`: the registry."""

from typing import Annotated

import typer

from cli.output import DEFAULT_SITE, JsonOption, SiteOption, console, print_json, say

app = typer.Typer(help="The model registry.", no_args_is_help=True)

VersionArgument = Annotated[str, typer.Argument(help="A model version, as `loans models list` shows it.")]


@app.command("list")
def list_models(site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """List the published versions, oldest first, and which is in production."""
    from pathlib import Path

    from rich.box import SIMPLE
    from rich.table import Column, Table

    from inbox_watcher.config import load_site
    from inbox_watcher.layout import Layout
    from scoring.errors import ModelError
    from scoring.registry import list_versions, read_manifest, read_promotion

    models = Layout(Path(load_site(site).root)).models
    promotion = read_promotion(models)
    current = promotion.pin.version if promotion else None
    manifests, broken = [], {}
    for version in list_versions(models):
        try:
            manifests.append(read_manifest(models, version)[0])
        except ModelError as error:
            broken[version] = error.what
    if json:
        print_json({"production": current, "versions": manifests, "broken": broken})
        raise typer.Exit(1 if broken else 0)
    table = Table(Column("version", no_wrap=True), "candidate", "published", "AUC", "in production", box=SIMPLE)
    for manifest in manifests:
        auc = manifest.metrics.get(manifest.candidate, {}).get("auc")
        table.add_row(
            manifest.version,
            manifest.candidate,
            manifest.created,
            "" if auc is None else f"{auc:.4f}",
            "yes" if manifest.version == current else "",
        )
    console().print(table)
    for problem in broken.values():
        say(problem)
    if broken:
        raise typer.Exit(1)


@app.command()
def show(version: VersionArgument, site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Show a version: its candidates' figures, parameters, data and packages."""
    from pathlib import Path

    from rich.table import Table

    from inbox_watcher.config import load_site
    from inbox_watcher.layout import Layout
    from scoring.registry import read_manifest

    manifest, pin = read_manifest(Layout(Path(load_site(site).root)).models, version)
    if json:
        print_json({"manifest": manifest, "manifest_sha256": pin.manifest_sha256})
        return
    out = console()
    out.print(f"{manifest.version}: {manifest.candidate}, published {manifest.created}", markup=False)
    names = list(dict.fromkeys(name for figures in manifest.metrics.values() for name in figures))
    table = Table("candidate", *names, title="Held-out loans")
    for candidate, figures in manifest.metrics.items():
        table.add_row(candidate, *(f"{figures[name]:.4f}" if name in figures else "" for name in names))
    out.print(table)
    for title, facts in (
        ("Parameters", manifest.parameters),
        ("Training", manifest.training),
        ("Packages", manifest.packages),
    ):
        facts_table = Table(title, "")
        for name, value in facts.items():
            facts_table.add_row(name, value)
        out.print(facts_table)


@app.command()
def promote(
    version: VersionArgument,
    why: Annotated[str, typer.Option(help="The reason, for whoever asks later.")] = "promoted by hand",
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Put a version into production; batches that run keep the one they were claimed with."""
    from pathlib import Path

    from inbox_watcher.config import load_site
    from inbox_watcher.layout import Layout
    from scoring.registry import name_account, read_manifest
    from scoring.registry import promote as put_into_production

    models = Layout(Path(load_site(site).root)).models
    _, pin = read_manifest(models, version)
    put_into_production(models, pin, by=name_account(), why=why)
    if json:
        print_json({"production": pin})
    else:
        say(f"Version {version} is in production.")


@app.command()
def verify(site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Check every version's files against their hashes, audit and open every model. Exit code 1 when one is damaged."""
    from pathlib import Path

    from inbox_watcher.config import load_site
    from inbox_watcher.layout import Layout
    from scoring.errors import ModelError
    from scoring.model import open_model
    from scoring.registry import audit_version, find_damage, list_versions, read_manifest

    models = Layout(Path(load_site(site).root)).models
    found: dict[str, list[str]] = {}
    for version in list_versions(models):
        try:
            manifest, _ = read_manifest(models, version)
            damage = find_damage(models, manifest)
            if not damage:
                audit_version(models, manifest)
                open_model(models, version)
        except ModelError as error:
            damage = [error.what]
        except OSError as error:
            damage = [f"it cannot be read: {error.strerror}"]
        found[version] = damage
    if json:
        print_json({version: {"intact": not damage, "damage": damage} for version, damage in found.items()})
    else:
        for version, damage in found.items():
            console().print(f"{version}: {'intact' if not damage else '; '.join(damage)}", markup=False)
    if any(found.values()):
        raise typer.Exit(1)
