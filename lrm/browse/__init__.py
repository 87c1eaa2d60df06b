"""What analysts look at: grids of rates, lists of samples, traces, pairs; read from the catalog in short bursts."""
