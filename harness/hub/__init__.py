"""Files on the Hub: models downloaded at one commit, data sets read remotely."""
