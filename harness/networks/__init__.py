"""The checkpoints that this project trains: their files and the networks that these describe."""
