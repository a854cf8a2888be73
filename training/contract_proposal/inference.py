"""A labelled file → a proposed contract: profile every column, propose, and prove the proposal with the one reader.

The whole file is read, three times and in constant memory: once to find its records, once as text for the profiles of
its columns, and once by the proposed contract, which tells what that would reject and which columns tell the outcome.
"""

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from scoring.atomic import sync_folder, write_bytes
from scoring.contract import FORMAT, Column, Contract, Role, find_problems
from scoring.csv.chunks import Plan, plan_chunks
from scoring.csv.reader import read_loans
from scoring.csv.rejects import Reject
from scoring.csv.source import Source, open_source
from scoring.errors import ContractError, FileRefusedError, LoansError
from scoring.results.content import prepare_content
from training.contract_proposal.column_profile import ColumnProfile, ColumnProfiler
from training.contract_proposal.leaks import LeakSample
from training.contract_proposal.proposal import Proposal, Wishes, leave_out, propose_contract
from training.contract_proposal.text import quote, write_contract

MAX_UNPACKED_BYTES = 1 << 40
"""Most bytes that a `.csv.gz` may unpack to, unless told otherwise."""


@dataclass(frozen=True)
class Inference:
    """What came of a file."""

    proposal: Proposal
    """The contract and its reasons."""
    separator: str
    """The character between fields."""
    rows: int
    """Records of the file, all of them looked at."""


def infer_contract(
    path: Path, output: Path, wishes: Wishes, *, encoding: str = "utf-8", max_unpacked_bytes: int = MAX_UNPACKED_BYTES
) -> Inference:
    """Write a proposed contract for the labelled file `path` to `output`, which must not exist.

    A `.csv.gz` is unpacked beside `output` for as long as it takes. Raises LoansError when `output` exists,
    FileRefusedError when the file cannot be read, ContractError when no contract can be proposed, OSError as the
    storage does; nothing appears then.
    """
    refuse_existing(output)
    if not output.absolute().parent.is_dir():
        raise LoansError(f"There is no folder {output.absolute().parent}.", "Make it, or name another -o.")
    if not path.is_file():
        raise LoansError(f"There is no file {path}.", "Name a CSV of labelled loans.")
    work = Path(tempfile.mkdtemp(prefix=".loans-", dir=output.absolute().parent))
    try:
        content = prepare_content(path, path.name, work, path.parent, max_unpacked_bytes)
        inference = infer_proposal(content, _told_name(path.name), wishes, encoding)
        text = write_contract(inference.proposal, _told_name(path.name), inference.separator)
        written = work / "contract.toml"
        write_bytes(written, text.encode())
        try:
            os.link(written, output)  # a rename would replace what appeared meanwhile
        except FileExistsError:
            refuse_existing(output)
            raise
        sync_folder(output.absolute().parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return inference


def refuse_existing(output: Path) -> None:
    """Raise LoansError when there is something at `output` already."""
    if os.path.lexists(output):
        raise LoansError(f"{output} exists already and was left alone.", "Name another file with -o.")


def _told_name(name: str) -> str:
    """Give a file's name as text; bytes that are none are shown as question marks."""
    return os.fsencode(name).decode(errors="replace")


def infer_proposal(path: Path, name: str, wishes: Wishes, encoding: str = "utf-8") -> Inference:
    """Propose a contract for the plain CSV `path`, which people call `name`; nothing is written.

    Raises FileRefusedError when the file cannot be read, LoansError when no contract can be proposed, OSError as the
    storage does.
    """
    _refuse_encoding(encoding)
    source = _open(path, wishes, encoding)
    plan = plan_chunks(source, max(source.bytes, 1))
    if not plan.rows:
        raise LoansError("The file holds a header and no loans.", "Name a file with labelled loans.")
    stem = name.removesuffix(".gz").removesuffix(".csv") or "loans"
    profiles = _profile(plan, encoding)
    if not profiles[0].rows:
        raise LoansError(
            f"None of the {plan.rows:,} records is sound: text that is not {encoding}, or a wrong number of fields.",
            "Name its encoding with --encoding, or mend the file.",
        )
    proposal = propose_contract(stem, source.header, profiles, wishes, encoding)
    return Inference(_prove(path, plan, proposal), source.separator, plan.rows)


def _refuse_encoding(encoding: str) -> None:
    problems = find_problems(Contract(FORMAT, "any", (), encoding=encoding))
    for problem in problems:
        if "encoding" in problem:
            raise ContractError(f"It cannot be: {problem}.", "Name another with --encoding.")


def _open(path: Path, wishes: Wishes, encoding: str) -> Source:
    """Look at the header. The columns that the user named help to find the separator."""
    named = tuple(Column(name, Role.ID) for name in dict.fromkeys([*wishes.ids, wishes.target]) if name)
    try:
        return open_source(path, Contract(FORMAT, "any", named, encoding=encoding))
    except FileRefusedError as error:
        if error.code not in ("missing_column", "repeated_column"):
            raise
    # Which of them is absent is told with the rest of what does not fit.
    return open_source(path, Contract(FORMAT, "any", (), encoding=encoding))


def _profile(plan: Plan, encoding: str) -> list[ColumnProfile]:
    """Read every column that has a name of its own as text, by the one reader, and say what its values look like."""
    times = Counter(plan.source.header)
    profilers = {name: ColumnProfiler(name) for name in plan.source.header if name and times[name] == 1}
    if not profilers:
        raise ContractError("No column of the file has a name of its own.", "The first line has to be a header.")
    columns = tuple(Column(name, Role.ID) for name in profilers)
    # No text is a gap here: which ones are has to be found out.
    contract = Contract(FORMAT, "any", columns, missing_texts=(), encoding=encoding)
    for chunk in plan.chunks:
        for block in read_loans(plan.source, chunk, contract):
            for name, profiler in profilers.items():
                profiler.add(block.values.ids[name])
    return [profiler.profile() for profiler in profilers.values()]


def _prove(path: Path, plan: Plan, proposal: Proposal) -> Proposal:
    """Read the file by the proposed contract; tell what that rejects, and leave out what tells the outcome."""
    contract = proposal.contract
    labelled = contract.target is not None
    if not contract.ids:
        # The reader wants an id; any column does, because nothing is echoed here.
        contract = replace_columns(contract, (Column(contract.features[0].name, Role.ID), *contract.columns))
    else:
        _refuse_problems(contract)
    source = open_source(path, contract, labelled=labelled)
    if source.header != plan.source.header:
        raise ContractError(
            "The header can be divided in more than one way, by different separators.",
            "Put names that hold a separator into quotes.",
        )
    rejected: Counter[str] = Counter()
    sample = LeakSample()
    for chunk in plan.chunks:
        for block in read_loans(source, chunk, contract, labelled=labelled):
            rejected.update(_name_rule(reject) for reject in block.rejects)
            if block.values.labels is not None:
                sample.add(block.values.features, block.values.labels, block.rows)
    proved = replace(proposal, rejected=dict(sorted(rejected.items())))
    leaks = {name: _describe_leak(area) for name, area in sample.find_leaks(contract).items()}
    reduced = leave_out(proved, leaks)
    # What a column cost that is left out costs nothing any more, or another column is to blame.
    return _prove(path, plan, reduced) if rejected and reduced.contract != proposal.contract else reduced


def replace_columns(contract: Contract, columns: tuple[Column, ...]) -> Contract:
    """Give a contract with other columns."""
    return Contract(contract.format, contract.name, columns, contract.missing_texts, contract.encoding)


def _refuse_problems(contract: Contract) -> None:
    problems = find_problems(contract)
    if problems:
        raise ContractError(f"No contract can be made of this file: {'; '.join(problems)}.")


def _name_rule(reject: Reject) -> str:
    return f"{reject.rule} in {quote(reject.column)}" if reject.column else reject.rule


def _describe_leak(area: float) -> str:
    told = f"alone it tells how a loan ended (area under the ROC curve {area:.4f})"
    return f"{told}, so it is probably known only afterwards"
