"""`loans contract`: propose a data contract."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loans.terminal.output import DEFAULT_SITE, JsonOption, SiteOption, print_json, say

if TYPE_CHECKING:
    from inbox_watcher.settings.site_file import Site
    from training.contract_proposal.inference import Inference

app = typer.Typer(help="The data contract.", no_args_is_help=True)


@app.callback()
def contract() -> None:
    """The data contract: what the columns of a lender's files mean."""  # noqa: D401 (shown as help)


@app.command()
def infer(
    file: Annotated[Path, typer.Argument(help="A CSV of labelled loans (or .csv.gz); it is read as a whole.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The contract to write; it must not exist.", metavar="FILE")
    ],
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", help="A column that names a loan; may be given again (default: guessed).", metavar="NAME"),
    ] = None,
    target: Annotated[
        str, typer.Option(help="The column that tells how a loan ended (default: guessed).", metavar="NAME")
    ] = "",
    positive: Annotated[
        str, typer.Option(help="The text in it that means default (default: guessed).", metavar="TEXT")
    ] = "",
    encoding: Annotated[str, typer.Option(help="How the file's text is encoded.", metavar="NAME")] = "utf-8",
    site: SiteOption = DEFAULT_SITE,
    json: JsonOption = False,
) -> None:
    """Propose a data contract from a labelled CSV: a commented TOML file to read, mend and confirm."""
    from training.contract_proposal.inference import MAX_UNPACKED_BYTES, infer_contract
    from training.contract_proposal.proposal import Wishes

    # A site is not needed yet: the contract may come first. Where there is one, its bound and its folders count.
    loaded = _load(site)
    inference = infer_contract(
        file,
        output,
        Wishes(tuple(dict.fromkeys(ids or ())), target, positive),
        encoding=encoding,
        max_unpacked_bytes=loaded.scoring.max_unpacked_bytes if loaded else MAX_UNPACKED_BYTES,
    )
    if json:
        print_json(_facts(inference, file, output))
        return
    _tell(inference, output, loaded)


def _load(site: Path) -> "Site | None":
    from inbox_watcher.settings.site_file import load_site

    return None if site == DEFAULT_SITE and not site.exists() else load_site(site)


def _tell(inference: "Inference", output: Path, site: "Site | None") -> None:
    from inbox_watcher.settings.layout import Layout

    proposal, contract = inference.proposal, inference.proposal.contract
    left_out = sum(column.left_out for column in proposal.columns)
    target = f"target {contract.target.name!r}" if contract.target else "no target"
    say(
        f"All {inference.rows:,} records were looked at. Proposed: {len(contract.ids)} id(s), "
        f"{len(contract.features)} features, {len(contract.monitors)} to monitor only, {target}; {left_out} left out."
    )
    for role in proposal.fill_in:
        say(f"FILL IN: nobody knows the {role} yet. The contract is refused until you name it, there or with --{role}.")
    for guess in proposal.confirm:
        say(f"CONFIRM: {guess}.")
    for warning in proposal.warnings:
        say(f"WARNING: {warning}")
    for reason, count in proposal.rejected.items():
        say(f"WARNING: {count:,} record(s) of the file would be rejected: {reason}.")
    if any(reason.startswith("not_utf8") for reason in proposal.rejected):
        say("Where the file is in another encoding, say which: --encoding cp1252, for example.")
    place = str(Layout(Path(site.root)).contract) if site else "ROOT/contract.toml"
    say(f"Contract: {output}\nNext: read it, put it in the place of {place}, then `loans retrain`.")


def _facts(inference: "Inference", file: Path, output: Path) -> dict[str, object]:
    from training.contract_proposal.text import describe_profile

    proposal, contract = inference.proposal, inference.proposal.contract
    return {
        "file": str(file.absolute()),
        "contract": str(output.absolute()),
        "rows": inference.rows,
        "separator": inference.separator,
        "encoding": contract.encoding,
        "missing_texts": contract.missing_texts,
        "usable": not proposal.fill_in,
        "fill_in": proposal.fill_in,
        "confirm": proposal.confirm,
        "warnings": proposal.warnings,
        "rejected": proposal.rejected,
        "columns": [
            {
                "name": proposed.header,
                "role": proposed.column.role if proposed.column and not proposed.left_out else None,
                "type": proposed.column.type if proposed.column else None,
                "left_out": proposed.left_out,
                "why": proposed.why,
                "seen": describe_profile(proposed, contract.missing_texts),
                "missing": sum(proposed.profile.gaps.values()) if proposed.profile else None,
                "low": proposed.profile.low if proposed.profile else None,
                "high": proposed.profile.high if proposed.profile else None,
            }
            for proposed in proposal.columns
        ],
    }
