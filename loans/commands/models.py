"""`loans models`: the registry."""

from typing import TYPE_CHECKING, Annotated

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, console, print_json, say

if TYPE_CHECKING:
    from pathlib import Path

    from scoring.models.registry import Manifest

app = typer.Typer(help="The model registry.", no_args_is_help=True)

_NARROW = 80
"""Characters that tables take at least: with fewer, figures would be cut."""

_ROOMY = 116
"""Characters from which the list has all its columns."""

_PERMISSIONS = "permissions"
"""What `verify` calls the owners and modes of the registry."""

VersionArgument = Annotated[str, typer.Argument(help="A model version, as `loans models list` shows it.")]
WhyOption = Annotated[str, typer.Option(help="The reason, for whoever asks later.")]


@app.command("list")
def list_models(site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """List the published versions, oldest first, with their figures; the champion is in production."""
    from rich.box import SIMPLE
    from rich.table import Column, Table

    from loans.terminal.model_tables import format_figure
    from scoring.errors import ModelError
    from scoring.models.production import PRODUCTION, find_production, read_log
    from scoring.models.registry import list_versions, read_manifest

    models = _registry(site)
    current, manifests, broken = None, [], {}
    try:
        promotion = find_production(models)
        current = promotion.pin.version if promotion else None
    except ModelError as error:
        # The versions are there all the same, and one of them has to be promoted.
        broken[PRODUCTION] = error.explain()
    former = {entry.to.version for entry in read_log(models).entries}
    for version in list_versions(models):
        try:
            manifests.append(read_manifest(models, version)[0])
        except ModelError as error:
            broken[version] = error.what
    if json:
        print_json({"production": current, "versions": manifests, "broken": broken})
        raise typer.Exit(1 if broken else 0)
    out = console(_NARROW)
    # Where there is no room, what the version's name tells already goes first.
    told = ("candidate", "published") if out.width >= _ROOMY else ()
    columns = (Column(name, no_wrap=True) for name in ("version", *told, "AUC", "F1", "ECE", "rows/s", "state"))
    table = Table(*columns, box=SIMPLE, show_edge=False, pad_edge=False, collapse_padding=True)
    for manifest in manifests:
        figures = manifest.metrics.get(manifest.candidate, {})
        shown = [format_figure(name, figures.get(name)) for name in ("auc", "f1", "ece", "rows_per_second")]
        state = "challenger" if manifest.version not in former else "champion once"
        table.add_row(
            manifest.version,
            *((manifest.candidate, manifest.created) if told else ()),
            *shown,
            "champion" if manifest.version == current else state,
        )
    out.print(table)
    for problem in broken.values():
        say(problem)
    if broken:
        raise typer.Exit(1)


@app.command()
def show(version: VersionArgument, site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Show a version: its candidates' figures, policy, parameters, data, packages and files.

    Exit code 1 when it is damaged.
    """
    from loans.terminal.model_tables import version_tables
    from scoring.models.registry import find_damage, read_manifest

    models = _registry(site)
    manifest, pin = read_manifest(models, version)
    damage = find_damage(models, manifest)
    if json:
        print_json({"manifest": manifest, "manifest_sha256": pin.manifest_sha256, "damage": damage})
        raise typer.Exit(1 if damage else 0)
    if damage:
        say(f"Version {version} is damaged, and neither promoted nor scored with: {'; '.join(damage)}.")
    out = console(_NARROW)
    out.print(f"{manifest.version}: {manifest.candidate}, published {manifest.created}", markup=False)
    for table in version_tables(manifest):
        out.print(table)
    out.print(f"manifest SHA-256 {pin.manifest_sha256}", markup=False)
    if damage:
        raise typer.Exit(1)


@app.command()
def promote(
    version: VersionArgument,
    why: WhyOption = "promoted by hand",
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Put a version into production; batches that run keep the one they were claimed with."""
    from scoring.models.production import name_account
    from scoring.models.production import promote as put_into_production
    from scoring.models.registry import read_manifest

    models = _registry(site)
    _, pin = read_manifest(models, version)
    promotion = put_into_production(models, pin, by=name_account(), why=why)
    if json:
        print_json({"production": pin, "replaced": promotion.replaced})
    else:
        say(f"Version {version} is in production.")


@app.command()
def rollback(why: WhyOption = "rolled back by hand", site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Put back what was in production before; each further rollback goes one step further back."""
    from scoring.models.production import name_account, roll_back

    promotion = roll_back(_registry(site), by=name_account(), why=why)
    if json:
        print_json({"production": promotion.pin, "replaced": promotion.replaced})
        return
    replaced = f", {promotion.replaced.version} is not any more" if promotion.replaced else ""
    say(f"Version {promotion.pin.version} is in production again{replaced}.")


@app.command()
def log(site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Show who put which version into production, when and why, oldest first."""
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Column, Table

    from scoring.models.production import read_log

    found = read_log(_registry(site))
    if json:
        print_json({"entries": found.entries, "damage": found.damage, "notes": found.notes})
        raise typer.Exit(1 if found.damage else 0)
    table = Table("when", "by", "what", Column("version", no_wrap=True), "instead of", "why", box=SIMPLE)
    for entry in found.entries:
        replaced = entry.replaced.version if entry.replaced else ""
        # A reason is a person's own words, not markup.
        words = (entry.when, entry.by, str(entry.action), entry.to.version, replaced, entry.why)
        table.add_row(*map(escape, words))
    console().print(table)
    for told in (*found.notes, *found.damage):
        say(told)
    if found.damage:
        raise typer.Exit(1)


@app.command()
def verify(site: SiteOption = DEFAULT_SITE, json: JsonOption = False) -> None:
    """Check every version's hashes, audit and open every model, check the log of promotions and who may change them.

    Exit code 1 when anything is damaged, or a version is in production that nobody promoted.
    """
    from scoring.models.exposure import find_exposure
    from scoring.models.production import read_log
    from scoring.models.promotion_log import LOG
    from scoring.models.registry import list_versions

    models = _registry(site)
    found = {version: _find_damage(models, version) for version in list_versions(models)}
    told = read_log(models)
    exposed = find_exposure(models)
    every = {**found, LOG: list(told.damage), _PERMISSIONS: list(exposed.damage)}
    notes = {LOG: told.notes, _PERMISSIONS: exposed.notes}
    if json:
        print_json(
            {
                name: {"intact": not damage, "damage": damage, **({"notes": notes[name]} if name in notes else {})}
                for name, damage in every.items()
            }
        )
    else:
        intact = {LOG: f"intact, {len(told.entries)} entries", _PERMISSIONS: "; ".join(exposed.notes) or "intact"}
        for name, damage in every.items():
            console().print(f"{name}: {'; '.join(damage) or intact.get(name, 'intact')}", markup=False)
        for note in told.notes:
            say(note)
    if exposed.damage or exposed.notes:
        say("Whoever may change the registry can forge a version; deploy/README.md says how to close it.")
    if damaged := [name for name, damage in every.items() if damage]:
        say(f"Damaged: {', '.join(damaged)}.\nRestore what is named from a backup, or promote another version.")
        raise typer.Exit(1)


def _registry(site: "Path") -> "Path":
    from inbox_watcher.settings.site_file import load_site
    from loans.terminal.sites import shared_tree

    return shared_tree(load_site(site)).models


def _find_damage(models: "Path", version: str) -> list[str]:
    from scoring.errors import ModelError
    from scoring.models.model import open_model
    from scoring.models.registry import audit_version, find_damage, read_manifest

    try:
        manifest: Manifest = read_manifest(models, version)[0]
        damage = find_damage(models, manifest)
        if not damage:
            audit_version(models, manifest)
            open_model(models, version)
    except ModelError as error:
        return [error.what]
    except OSError as error:
        return [f"it cannot be read: {error.strerror}"]
    return damage
