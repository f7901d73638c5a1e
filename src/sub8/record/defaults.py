"""What a replication record says where nothing else is given; imports nothing, for ``--help``."""

PAPER = "pith:2017:OL6ATQWIILOQQNM4HV74F5TRBT"
STATEMENT = "Each artifact, run on its data, gave the measured figures."
