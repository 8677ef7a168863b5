"""The command `cursus`, and beside/, the directory in which `cursus.validation.runtime` lies: at the end of sys.path by casemate_cursus.pth."""
