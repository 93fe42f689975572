"""The hot functions of one machine, behind one door."""
