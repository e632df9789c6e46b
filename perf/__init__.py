"""Speed as ratios: against a peer, and against the limit that the network itself sets."""
