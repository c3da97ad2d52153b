"""Files on the Hub: models fetched at one commit, data sets read where they lie."""
