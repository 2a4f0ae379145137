"""Other houses: our policies and games as theirs, and theirs as ours; each module needs the package that it is named after."""
