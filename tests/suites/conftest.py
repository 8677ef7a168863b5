collect_ignore = ["witness"]  # a suite to be run, not tests of this directory
