"""From axes to cells, and from a seed to an interleaved order of trials (pure)."""
