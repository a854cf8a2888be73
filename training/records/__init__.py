"""What a run writes down for its nodes and for later: request, folder, outcomes, findings."""
