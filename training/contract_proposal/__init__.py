"""From a labelled file to a proposed data contract."""
