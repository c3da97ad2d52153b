"""The checkpoints that this project trains: their files and the networks they describe."""
