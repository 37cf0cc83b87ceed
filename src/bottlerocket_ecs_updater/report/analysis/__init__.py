"""Works out from the events of a run what its reports say."""
