"""The sections of a model card that record: groups, policy, data, how it was made, limits."""

import math
from itertools import groupby
from xml.etree.ElementTree import Element

from scoring.contract import Column
from scoring.csv.rejects import NO_CONTENT
from scoring.models.policy import Policy
from training.card.bars import draw_policy
from training.card.facts import CardFacts, share_of_defaults
from training.card.findings import is_adverse, is_small, misses
from training.card.page import Cell, bullets, figure_of, paragraph, section, table
from training.card.plot import element
from training.card.sections import probabilities
from training.card.words import NONE, count, figure, percent, plural, when
from training.records.findings import Proof, Segment


def groups(facts: CardFacts) -> Element:
    """Tell how the model treats groups: those of columns that only watch first."""
    columns = [
        (name, list(segments)) for name, segments in groupby(facts.winner.segments, key=lambda segment: segment.column)
    ]
    # Sorting is stable: within either kind the order stays.
    columns.sort(key=lambda pair: not pair[1][0].monitor)
    pieces: list[Element] = []
    for name, segments in columns:
        monitor = segments[0].monitor
        tag = element("span", "watched only: never seen by the model", class_="tag unseen") if monitor else None
        heading = element("h3", name, " ", *([tag] if tag is not None else []))
        pieces.append(heading)
        pieces.append(
            table(
                f"{name}, by group "
                f"({'watched only: never seen by the model' if monitor else 'a column that the model sees'})",
                ["Group", "Loans", "Defaulted", "Foretold", "Approved", "Ratio", "Called wrongly", "AUC", "To look at"],
                [_group_row(segment) for segment in segments],
                numbers=range(1, 8),
            )
        )
    return section(
        "groups",
        "How it treats groups",
        paragraph(
            "Held-out loans only. Approved: the share that is not called a default at the threshold. Ratio: that "
            "share over the one of the column's group that is approved most. Under 0.80 the four-fifths rule (EEOC "
            "Uniform Guidelines on Employee Selection Procedures, 1978) asks somebody to look into the reason; it is "
            "a finding to look at, no verdict: groups that default more are approved less by any model that is right."
        ),
        *(pieces or [paragraph("No group was measured.")]),
    )


def _group_row(segment: Segment) -> tuple[Cell, ...]:
    marks: list[Element] = []
    if is_adverse(segment):
        marks.append(element("span", "under four fifths", class_="tag look"))
    if misses(segment):
        marks.append(element("span", "foretold off", class_="tag look"))
    if is_small(segment):
        marks.append(element("span", "few loans", class_="tag few"))
    spaced: list[Element | str] = []
    for mark in marks:
        spaced += [mark, " "]
    return (
        segment.group,
        count(segment.rows),
        percent(segment.defaults / segment.rows if segment.rows else None),
        percent(segment.mean_pd),
        percent(segment.approved),
        figure(segment.approval_ratio, 2),
        percent(segment.error),
        figure(segment.auc),
        tuple(spaced) or NONE,
    )


def points_at(policy: Policy, pd: float) -> float:
    """Return the unrounded points of a probability of default, by the formula in `scoring.models.policy`."""
    odds = (1 - pd) / pd if pd > 0 else math.inf
    if odds <= 0 or math.isinf(odds):
        return float(policy.lowest_score if odds <= 0 else policy.highest_score)
    points = policy.base_score + policy.points_to_double * math.log2(odds / policy.base_odds)
    return min(max(points, policy.lowest_score), policy.highest_score)


def pd_at(policy: Policy, points: float) -> float:
    """Give the probability of default at which a loan has these points: the inverse of that formula."""
    odds = policy.base_odds * math.exp2((points - policy.base_score) / policy.points_to_double)
    return 1 / (1 + odds)


def policy_section(facts: CardFacts) -> Element:
    """Tell what a probability means to the lender."""
    policy = facts.policy
    if policy is None:
        return section(
            "policy",
            "Policy",
            paragraph("This version holds no policy: predictions tell the probability of default alone."),
        )
    rows = []
    for number, band in enumerate(policy.bands):
        last = policy.highest_score if number == 0 else policy.bands[number - 1].from_score - 1
        # The ends of the scale take in everything beyond them.
        high = 1.0 if band.from_score <= policy.lowest_score else pd_at(policy, band.from_score)
        low = 0.0 if number == 0 else pd_at(policy, policy.bands[number - 1].from_score)
        rows.append((band.name, f"{count(band.from_score)} to {count(last)}", f"{percent(low)} to {percent(high)}"))
    refer, decline = points_at(policy, policy.refer_from), points_at(policy, policy.decline_from)
    cuts = [
        ("accept", f"under {percent(policy.refer_from)}", "granted without a person looking at it"),
        ("refer", f"from {percent(policy.refer_from)}", "a person looks at it"),
        ("decline", f"from {percent(policy.decline_from)}", "not granted"),
    ]
    return section(
        "policy",
        "Policy",
        paragraph(
            f"{figure(policy.base_score, 0)} points mean {figure(policy.base_odds, 0)} repaid loans for one default; "
            f"{figure(policy.points_to_double, 0)} points more double these odds. Points lie between "
            f"{count(policy.lowest_score)} and {count(policy.highest_score)}. Decisions follow the probability, bands "
            "the points."
        ),
        figure_of(
            "Points, bands and decisions",
            "Bands above, decisions below: more points are less risk.",
            draw_policy(policy, refer, decline),
            table("Bands", ["Band", "Points", "Probability of default, about"], rows, numbers=(1, 2)),
            table("Cut-offs", ["Decision", "Probability of default", "Meaning"], cuts),
            wide=True,
        ),
    )


def data_section(facts: CardFacts) -> Element:
    """Tell which loans the model was learnt from and measured on, and which columns it sees."""
    data = facts.data
    train, test = data.split.train, data.split.test
    rejected = sum(data.rejected.values())
    written = data.last_written
    span = f"files last written from {when(written[0])} to {when(written[1])}" if written else "not known"
    sides = [
        (name, count(side.rows), count(side.defaults), percent(share_of_defaults(side)), _hash(side.sha256))
        for name, side in (("learnt from", train), ("held out", test))
    ]
    return section(
        "data",
        "Data",
        paragraph(
            f"{plural(data.rows_in, 'row')} of history under the contract “{facts.contract.name}”; "
            f"{count(rejected)} rejected. Time span: {span}."
        ),
        table(
            "The two sides of the split, drawn at random",
            ["Side", "Loans", "Defaults", "Share", "SHA-256 of its arrays"],
            sides,
            numbers=(1, 2, 3),
        ),
        table(
            "Files of the history",
            ["File", "Bytes", "Rows", "Last written", "SHA-256"],
            [
                (
                    one.name,
                    count(one.bytes),
                    count(one.rows),
                    when(one.modified) if one.modified else NONE,
                    _hash(one.sha256) if one.sha256 else "altered while the run went on",
                )
                for one in data.files
            ],
            numbers=(1, 2),
        ),
        table(
            "Rows that broke the contract and were left out, by rule",
            ["Rule", "Rows", "Share of rows with content"],
            [
                (rule, count(rows), NONE if rule in NO_CONTENT else percent(rows / max(data.loans_in, 1), 2))
                for rule, rows in sorted(data.rejected.items())
            ],
            numbers=(1, 2),
        )
        if data.rejected
        else paragraph("No row broke the contract."),
        table(
            "Columns of the contract",
            ["Column", "Role", "Type", "Accepted", "Missing", "Meaning"],
            [_column_row(column) for column in facts.contract.columns],
        ),
    )


_ROLES = {"id": "echoed", "feature": "model input", "target": "outcome", "monitor": "watched only"}


def _column_row(column: Column) -> tuple[Cell, ...]:
    if column.categories:
        accepted = ", ".join(column.categories)
    elif column.minimum is not None or column.maximum is not None:
        ends = [None if end is None else f"{end:,.10g}" for end in (column.minimum, column.maximum)]
        accepted = f"{ends[0]} to {ends[1]}" if all(ends) else f"from {ends[0]}" if ends[0] else f"up to {ends[1]}"
    else:
        accepted = "any"
    missing = {"allow": "filled in", "reject": "rejected"}[column.missing] if column.role == "feature" else NONE
    return (column.name, _ROLES[column.role], str(column.type), accepted, missing, column.about or NONE)


def _describe_proof(proof: Proof) -> str:
    largest = max(proof.largest, proof.largest_built)
    return f"at most {largest:.1e} off scikit-learn ({count(proof.rows)} held-out, {count(proof.built)} built rows)"


def making(facts: CardFacts) -> Element:
    """Tell how the version was made, so that somebody can make it again."""
    learnt, run = facts.learnt, facts.run
    validation, proof = learnt.validation, facts.winner.proof
    rows: list[tuple[Cell, ...]] = [
        ("Training run", run.run_id),
        ("Candidate", facts.candidate),
        ("Seed", str(run.seed)),
        ("Held out", percent(run.held_out, 0)),
        ("Folds", str(run.folds)),
        ("Code version", run.code_version),
        ("Fitted in", f"{learnt.fit_seconds:.1f} s, on {plural(learnt.rows, 'loan')}"),
        ("AUC where the choice was made", figure(validation.auc, 4)),
        ("Calibration", validation.calibration),
        ("Threshold", percent(facts.winner.threshold, 2)),
        ("Exported graph", NONE if proof is None else _describe_proof(proof)),
        ("SHA-256 of the graph", _hash(facts.winner.graph_sha256)),
    ]
    tried = [
        (
            ", ".join(f"{name} {value:g}" for name, value in one.parameters.items()) or "as they are",
            f"{figure(one.auc, 4)} ± {figure(one.auc_spread, 4)}",
            figure(one.log_loss, 4),
            f"{one.fit_seconds:.1f} s",
        )
        for one in validation.tried
    ]
    return section(
        "making",
        "How it was made",
        paragraph(probabilities(facts)),
        table("The run", ["What", "Value"], rows),
        table(
            "Sets of parameters tried (mean and spread over the folds)",
            ["Parameters", "AUC", "Log loss", "A fit took"],
            tried,
            numbers=(1, 2, 3),
            chosen=validation.chosen,
        )
        if tried
        else None,
        table("Parameters", ["Parameter", "Value"], sorted(learnt.parameters.items())) if learnt.parameters else None,
        table(
            "What the blend is made of",
            ["Candidate", "Weight"],
            [(name, figure(weight, 3)) for name, weight in learnt.members.items()],
            numbers=(1,),
        )
        if learnt.members
        else None,
        table("Packages", ["Package", "Version"], sorted(learnt.packages.items())),
    )


def limits(sentences: tuple[str, ...]) -> Element:
    """Tell what the figures do not show."""
    return section("limits", "Limits", bullets(sentences))


def _hash(text: str) -> Element:
    return element("span", text, class_="hash")
